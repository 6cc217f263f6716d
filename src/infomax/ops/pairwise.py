"""The public ops: they check the arguments, apply autocast, choose a backend and call it."""

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
    r"""Return the log-sum-exp of each query's scores over all keys of another group.

    .. math::
        L_q = \log \sum_{k \,:\, g_k \ne g_q} e^{s(q, k)}, \qquad
        s(q, k) = \mathrm{clip}\bigl(\mathrm{scale} \cdot \langle x_q, y_k \rangle\bigr)

    The table of scores is computed in blocks, here and in the backward pass, and stored whole only if it fits in the
    workspace (`use_workspace`). ``query`` and ``key`` get gradients. A score beyond ``clip`` has no gradient. A soft
    clip multiplies the gradient of a score by ``1 - tanh(score / c) ** 2``.

    Args:
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map, as in :func:`pairwise_with_joint`.
        query_group: ``(M,)`` integers, or None to exclude nothing. Sorted groups are fastest.
        key_group: ``(K,)`` integers; given with ``query_group``.
        scale: Factor of every score.
        clip: Bound on the magnitude of the scores, or None.
        soft_clip: The c of the soft clip ``c * tanh(score / c)`` of scores before ``clip``, or None.

    Returns:
        ``(M,)`` in nats; float64 for float64 inputs, otherwise float32. A query without admissible keys has ``-inf``
        and a zero gradient.

    Raises:
        TypeError: A dtype is not supported, or the two dtypes differ outside `torch.autocast`.
        ValueError: Shapes, groups, devices or options do not match.
        RuntimeError: A forced backend cannot run.

    Numerics:
        Scores, sums and gradients accumulate in float32 at least. Scores of 1e4 in float32 and 3e4 in bfloat16 are
        exact to rounding. Results are bitwise the same on every run. Second derivatives need
        ``use_backend("reference")``. Under the transforms of `torch.func`, and for dual tensors, the whole table of
        scores is computed at once, with plain operations that have all derivatives.

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
    r"""Return the sum of the softplus of each query's scores over all keys of another group.

    .. math::
        V_q = \sum_{k \,:\, g_k \ne g_q} \log\bigl(1 + e^{s(q, k)}\bigr), \qquad
        s(q, k) = \mathrm{clip}\bigl(\mathrm{scale} \cdot \langle x_q, y_k \rangle\bigr)

    The result is a sum, not a mean, because the caller knows the number of admissible keys. Everything else is as in
    `pairwise_logsumexp`.

    Args:
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map, as in :func:`pairwise_with_joint`.
        query_group: ``(M,)`` integers, or None to exclude nothing. Sorted groups are fastest.
        key_group: ``(K,)`` integers; given with ``query_group``.
        scale: Factor of every score.
        clip: Bound on the magnitude of the scores, or None.
        soft_clip: The c of the soft clip ``c * tanh(score / c)`` of scores before ``clip``, or None.

    Returns:
        ``(M,)`` in nats; float64 for float64 inputs, otherwise float32. A query without admissible keys has 0 and a
        zero gradient.

    Raises:
        TypeError: A dtype is not supported, or the two dtypes differ outside `torch.autocast`.
        ValueError: Shapes, groups, devices or options do not match.
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
    r"""Return a reduction of each query's scores, and the scores of listed pairs from the same table.

    .. math:: T_j = \mathrm{scale} \cdot \langle x_{q(j)}, y_{k(j)} \rangle

    Joint pairs are entries of the table that the reduction computes anyway. So their scores are read from its blocks,
    and their gradients are added to those of the reduction before the same matrix products. Any pair may be listed, any
    number of times, whether or not it is excluded from the reduction.

    Args:
        reduction: ``"logsumexp"`` or ``"softplus"``, as in the op of that name; ``"sum"`` of the scores T,
            ``"square_sum"`` of their squares, or ``"pearson"``, the sum of T + T^2 / 4. ``"none"`` reduces nothing:
            only the joint scores are computed, pair by pair within the workspace, and the reduction is 0.
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype; or a map ``(N, d, P)``, whose K = N P locations are the keys, example by
            example. The map is not copied if the backend can read it directly.
        query_group: ``(M,)`` integers, or None to exclude nothing.
        key_group: ``(K,)`` integers; given with ``query_group``.
        joint_query: ``(J,)`` integers, rows of ``query``.
        joint_key: ``(J,)`` integers, rows of ``key``, non-decreasing.
        scale: Factor of every score.
        clip: Bound on the magnitude of the reduced scores, or None. Joint scores are never clipped.
        soft_clip: The c of the soft clip ``c * tanh(score / c)`` of reduced scores before ``clip``, or None.

    Returns:
        The reduction ``(M,)``, in nats for ``"logsumexp"`` and ``"softplus"``, and the joint scores ``(J,)`` without a
        unit; float64 for float64 inputs, otherwise float32.

    Raises:
        TypeError: A dtype is not supported, or the two dtypes differ outside `torch.autocast`.
        ValueError: Shapes, groups, indices, devices or options do not match, or the reduction is unknown.
        RuntimeError: A forced backend cannot run.

    Numerics:
        As in `pairwise_logsumexp`. With ``"none"`` all derivatives exist, with any backend.

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
    """Check the arguments of an op, and return the queries and keys as autocast casts them."""
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
            with suppress(RuntimeError):  # under vmap, a mapped index cannot be read
                check_joint_values(query, key, joint_query, joint_key)
        problem = Problem(query, key, *indices, reduction, float(scale), hard, soft, workspace(query.device))
        with without_autocast(query.device):
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
