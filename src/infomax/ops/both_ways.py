"""Log-sum-exps along both sides of one table of scores, for losses that use both directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infomax._checks import shape_of
from infomax._transforms import transformed
from infomax.ops.chunked import plan
from infomax.ops.dispatch import choose
from infomax.ops.library_both_ways import pairwise_both_ways as _op
from infomax.ops.pairwise import checked, pairwise_logsumexp, pairwise_with_joint
from infomax.ops.settings import workspace

__all__ = ["pairwise_both_ways"]


def pairwise_both_ways(
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
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the log-sum-exp of each query's scores over the keys, and of each key's scores over the queries.

    .. math::
        L_q = \log \sum_{k \,:\, g_k \ne g_q} e^{s(q, k)}, \qquad L_k = \log \sum_{q \,:\, g_q \ne g_k} e^{s(q, k)}

    The results equal those of two calls of `pairwise_with_joint`, the second with queries and keys exchanged. The
    chunked backend, the default on a CPU, computes both from one table, so that the two directions of a symmetric loss
    take three or four matrix products instead of six or eight.

    Args:
        query: ``(M, d)``; float64, float32, bfloat16 or float16.
        key: ``(K, d)``, of the same dtype.
        query_group: ``(M,)`` integers, or None to exclude nothing.
        key_group: ``(K,)`` integers; given with ``query_group``.
        joint_query: ``(J,)`` integers, rows of ``query``.
        joint_key: ``(J,)`` integers, rows of ``key``, non-decreasing.
        scale: Factor of every score.
        clip: Bound on the magnitude of the reduced scores, or None. Joint scores are never clipped.
        soft_clip: The c of the soft clip ``c * tanh(score / c)`` of reduced scores before ``clip``, or None.

    Returns:
        The log-sum-exps ``(M,)`` and ``(K,)`` in nats, and the joint scores ``(J,)`` without a unit; float64 for
        float64 inputs, otherwise float32.

    Raises:
        TypeError: A dtype is not supported, or the two dtypes differ outside `torch.autocast`.
        ValueError: Shapes, groups, indices, devices or options do not match.
        RuntimeError: A forced backend cannot run.

    Numerics:
        As in `pairwise_logsumexp`.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_both_ways
        >>> pair = torch.arange(2)
        >>> of_queries, of_keys, joint = pairwise_both_ways(torch.eye(2), torch.eye(2), pair, pair, pair, pair)
        >>> joint - of_queries, joint - of_keys
        (tensor([1., 1.]), tensor([1., 1.]))
    """
    pairs = joint_query, joint_key
    query, key = checked("logsumexp", query, key, query_group, key_group, *pairs, scale, clip, soft_clip)
    if key.ndim == 3:
        raise ValueError(f"key must have shape (K, d), got {shape_of(key)}; flatten it to rows")
    space = workspace(query.device)
    if transformed(query, key) or choose(query, "logsumexp", space) != "chunked":
        bounds: dict[str, Any] = {"scale": scale, "clip": clip, "soft_clip": soft_clip}
        value, joint = pairwise_with_joint("logsumexp", query, key, query_group, key_group, *pairs, **bounds)
        key_value = pairwise_logsumexp(key, query, key_group, query_group, **bounds)
        return value, key_value, joint
    differentiated = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    unbounded = clip is None and soft_clip is None
    keep = differentiated and unbounded and plan.may_keep(query, key, space)
    hard, soft = (None if bound is None else float(bound) for bound in (clip, soft_clip))
    indices = [None if index is None else index.to(torch.int64) for index in (query_group, key_group, *pairs)]
    value, key_value, joint, _ = _op(query, key, *indices, float(scale), hard, soft, space, keep)
    return value, key_value, joint
