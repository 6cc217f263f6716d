"""The public ops: validation, autocast, the choice of a backend, and the call."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import torch
from torch import Tensor

from infomax._checks import check_choice, check_floating
from infomax._precision import cast_for_product, without_autocast
from infomax._transforms import transformed
from infomax.ops import pairs, reference
from infomax.ops.dispatch import choose, may_keep, takes_map
from infomax.ops.library import pairwise
from infomax.ops.problem import REDUCTIONS, Problem, Reduction, count_keys
from infomax.ops.settings import forced_backend, workspace
from infomax.ops.validation import check_groups, check_joint, check_joint_values, check_options, check_vectors

__all__ = ["checked", "pairwise_logsumexp", "pairwise_softplus", "pairwise_with_joint"]


def pairwise_logsumexp(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None = None,
    key_group: Tensor | None = None,
    *,
    scale: float = 1.0,
    clip: float | None = None,
    soft_clip: float | None = None,
) -> Tensor:
    r"""Log-sum-exp of each query's scores over all keys of another group.

    .. math::
        L_q = \log \sum_{k \,:\, g_k \ne g_q} e^{s(q, k)}, \qquad
        s(q, k) = \mathrm{clip}\bigl(\mathrm{scale} \cdot \langle x_q, y_k \rangle\bigr)

    The table of scores never exists as a whole, neither here nor in the backward pass, unless it fits in the workspace
    (`use_workspace`). Gradients reach ``query`` and ``key``; a clipped score passes none, a softly clipped one
    ``1 - tanh(score / c) ** 2`` of its own.

    Args:
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map, as in :func:`pairwise_with_joint`.
        query_group: ``(M,)`` integers, or None to exclude nothing. Sorted groups cost least.
        key_group: ``(K,)`` integers; given with ``query_group``.
        scale: Factor of every score.
        clip: Bound of the scores' magnitude, or None.
        soft_clip: The c of ``c * tanh(score / c)``, which scores go through before ``clip``, or None.

    Returns:
        ``(M,)`` in nats; float64 for float64 inputs, otherwise float32. A query without admissible keys has
        ``-inf``, and gradient zero.

    Raises:
        TypeError: A dtype is not supported, or the two differ outside `torch.autocast`.
        ValueError: Shapes, groups, devices or options do not fit together.
        RuntimeError: A forced backend cannot run.

    Numerics:
        Scores, sums and gradients accumulate in float32 at least; scores of 1e4 in float32 and 3e4 in bfloat16 are
        exact to rounding. Results repeat bitwise. Second derivatives need ``use_backend("reference")``. Under the
        transforms of `torch.func`, and on dual tensors, the table of scores is written out whole, in plain operations
        that have every derivative.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_logsumexp
        >>> query, key = torch.eye(2), torch.eye(2).repeat_interleave(3, 0)
        >>> pairwise_logsumexp(query, key, torch.arange(2), torch.arange(2).repeat_interleave(3))
        tensor([1.0986, 1.0986])
    """
    value, _ = _call("logsumexp", query, key, query_group, key_group, None, None, scale, clip, soft_clip)
    return value


def pairwise_softplus(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None = None,
    key_group: Tensor | None = None,
    *,
    scale: float = 1.0,
    clip: float | None = None,
    soft_clip: float | None = None,
) -> Tensor:
    r"""Sum of the softplus of each query's scores over all keys of another group.

    .. math::
        V_q = \sum_{k \,:\, g_k \ne g_q} \log\bigl(1 + e^{s(q, k)}\bigr), \qquad
        s(q, k) = \mathrm{clip}\bigl(\mathrm{scale} \cdot \langle x_q, y_k \rangle\bigr)

    A sum, not a mean: a caller knows the number of admissible keys. Everything else is as in
    `pairwise_logsumexp`.

    Args:
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map, as in :func:`pairwise_with_joint`.
        query_group: ``(M,)`` integers, or None to exclude nothing. Sorted groups cost least.
        key_group: ``(K,)`` integers; given with ``query_group``.
        scale: Factor of every score.
        clip: Bound of the scores' magnitude, or None.
        soft_clip: The c of ``c * tanh(score / c)``, which scores go through before ``clip``, or None.

    Returns:
        ``(M,)`` in nats; float64 for float64 inputs, otherwise float32. A query without admissible keys has 0,
        and gradient zero.

    Raises:
        TypeError: A dtype is not supported, or the two differ outside `torch.autocast`.
        ValueError: Shapes, groups, devices or options do not fit together.
        RuntimeError: A forced backend cannot run.

    Numerics:
        As in `pairwise_logsumexp`.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_softplus
        >>> pairwise_softplus(torch.zeros(2, 4), torch.zeros(3, 4))
        tensor([2.0794, 2.0794])
    """
    value, _ = _call("softplus", query, key, query_group, key_group, None, None, scale, clip, soft_clip)
    return value


def pairwise_with_joint(
    reduction: Reduction | Literal["none"],
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor,
    joint_key: Tensor,
    *,
    scale: float = 1.0,
    clip: float | None = None,
    soft_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    r"""A reduction of each query's scores, and the scores of listed pairs read off the same table.

    .. math:: T_j = \mathrm{scale} \cdot \langle x_{q(j)}, y_{k(j)} \rangle

    Joint pairs are entries of the table that the reduction goes through anyway: their scores are read in passing, and
    their gradient joins the others before the same matrix products. Any pair may be listed, excluded from the reduction
    or not, more than once or never.

    Args:
        reduction: ``"logsumexp"`` or ``"softplus"``, as in the op of that name; ``"sum"`` of the scores T,
            ``"square_sum"`` of their squares, ``"pearson"`` of T + T^2 / 4. ``"none"`` reduces nothing: the joint
            scores alone are computed, pair by pair and within the workspace, and the reduction is 0.
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map ``(N, d, P)``, whose K = N P locations are the keys, example by
            example. Nothing of it is copied where the backend can go through it as it lies.
        query_group: ``(M,)`` integers, or None to exclude nothing.
        key_group: ``(K,)`` integers; given with ``query_group``.
        joint_query: ``(J,)`` integers, rows of ``query``.
        joint_key: ``(J,)`` integers, rows of ``key``, non-decreasing.
        scale: Factor of every score.
        clip: Bound of the reduced scores' magnitude, or None. Joint scores are never clipped.
        soft_clip: The c of ``c * tanh(score / c)``, which reduced scores go through before ``clip``, or None.

    Returns:
        The reduction ``(M,)`` in nats and the joint scores ``(J,)``, without a unit; float64 for float64 inputs,
        otherwise float32.

    Raises:
        TypeError: A dtype is not supported, or the two differ outside `torch.autocast`.
        ValueError: Shapes, groups, indices, devices or options do not fit together, or the reduction has no such name.
        RuntimeError: A forced backend cannot run.

    Numerics:
        As in `pairwise_logsumexp`. With ``"none"`` all derivatives exist, whatever the backend.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_with_joint
        >>> pair = torch.arange(2)
        >>> value, joint = pairwise_with_joint("logsumexp", torch.eye(2), torch.eye(2), pair, pair, pair, pair)
        >>> joint - value
        tensor([1., 1.])
    """
    return _call(reduction, query, key, query_group, key_group, joint_query, joint_key, scale, clip, soft_clip)


def checked(
    reduction: str,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
) -> tuple[Tensor, Tensor]:
    """Check the arguments of an op, and return queries and keys as autocast wants them."""
    check_choice("reduction", reduction, (*REDUCTIONS, "none"))
    check_options(scale, clip, soft_clip)
    query, key = (cast_for_product(check_floating(name, rows)) for name, rows in (("query", query), ("key", key)))
    if key.ndim == 3 and 0 in key.shape:
        key = _rows_of(key)
    check_vectors(query, key[:, :, 0] if key.ndim == 3 else key)
    check_groups(query, count_keys(key), query_group, key_group)
    check_joint(query, joint_query, joint_key)
    return query, key


def _rows_of(key: Tensor) -> Tensor:
    return key.transpose(1, 2).flatten(0, 1)


def _call(
    reduction: str,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
) -> tuple[Tensor, Tensor]:
    query, key = checked(reduction, query, key, query_group, key_group, joint_query, joint_key, scale, clip, soft_clip)
    hard, soft = (None if bound is None else float(bound) for bound in (clip, soft_clip))
    query_group, key_group, joint_query, joint_key = (
        None if index is None else index.to(torch.int64) for index in (query_group, key_group, joint_query, joint_key)
    )
    indices = query_group, key_group, joint_query, joint_key
    if transformed(query, key):
        key = _rows_of(key) if key.ndim == 3 else key
        forced = forced_backend()
        if forced not in (None, "reference"):
            raise NotImplementedError(
                f'use_backend("{forced}") cannot run under torch.func (grad, jvp, vmap, ...) or on dual tensors; '
                'use_backend("reference"), or None, writes the table of scores out'
            )
        if joint_query is not None and joint_key is not None and joint_query.is_cpu:
            with suppress(RuntimeError):  # vmap lets nobody read an index that it maps over
                check_joint_values(query, key, joint_query, joint_key)
        problem = Problem(query, key, *indices, reduction, float(scale), hard, soft, workspace(query.device))
        with without_autocast(query):
            value, joint, _ = (pairs if reduction == "none" else reference).forward(problem, keep=False)
        return value, joint
    space = workspace(query.device)
    backend = "pairs" if reduction == "none" else choose(query, reduction, space)
    if key.ndim == 3 and not takes_map(backend, key):
        key = _rows_of(key)
    differentiated = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    keep = differentiated and may_keep(backend, query, key, reduction, space)
    value, joint, _ = pairwise(query, key, *indices, reduction, float(scale), hard, soft, space, backend, keep)
    return value, joint
