"""The public ops: validation, autocast, the choice of backend, and the call."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from infomax.ops import dispatch
from infomax.ops.library import pairwise
from infomax.ops.settings import workspace

__all__ = ["Reduction", "pairwise_logsumexp", "pairwise_softplus", "pairwise_with_joint"]

Reduction = Literal["logsumexp", "softplus"]


def pairwise_logsumexp(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None = None,
    key_group: Tensor | None = None,
    *,
    scale: float = 1.0,
    clip: float | None = None,
) -> Tensor:
    r"""Log-sum-exp of each query's scores over all keys of another group.

    .. math:: L_q = \log \sum_{k : g_k \ne g_q} \exp\, \mathrm{clip}(s \langle x_q, y_k \rangle)
    """
    value, _ = _call("logsumexp", query, key, query_group, key_group, None, None, scale, clip)
    return value


def pairwise_softplus(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None = None,
    key_group: Tensor | None = None,
    *,
    scale: float = 1.0,
    clip: float | None = None,
) -> Tensor:
    r"""Sum of the softplus of each query's scores over all keys of another group."""
    value, _ = _call("softplus", query, key, query_group, key_group, None, None, scale, clip)
    return value


def pairwise_with_joint(
    reduction: Reduction,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor,
    joint_key: Tensor,
    *,
    scale: float = 1.0,
    clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    r"""A reduction, and the scores of listed pairs read off the same table."""
    return _call(reduction, query, key, query_group, key_group, joint_query, joint_key, scale, clip)


def _call(
    reduction: Reduction,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    scale: float,
    clip: float | None,
) -> tuple[Tensor, Tensor]:
    device = query.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        query, key = query.to(dtype), key.to(dtype)
    value, joint, _ = pairwise(
        query, key, query_group, key_group, joint_query, joint_key,
        reduction, scale, clip, workspace(), dispatch.choose(query), False,
    )  # fmt: skip
    return value, joint
