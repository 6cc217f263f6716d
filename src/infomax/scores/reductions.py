"""Reductions over the columns of a table of scores, with exact exclusion of pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from infomax.scores.base import Reduction

__all__ = ["bend", "logsumexp", "reduce_table", "softplus"]


def bend(scores: Tensor, bound: float) -> Tensor:
    """Return c tanh(T / c), the soft clip of scores to [-c, c]."""
    return bound * (scores / bound).tanh()


def softplus(scores: Tensor) -> Tensor:
    """Return log(1 + e^t), exact at every t (torch's own softplus is linear above a threshold)."""
    return -nnf.logsigmoid(-scores)


def logsumexp(table: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return the log-sum-exp over the last axis of the kept entries; -inf, with zero gradient, if none is kept."""
    if keep is not None:
        table = table.masked_fill(~keep, -torch.inf)
    if table.shape[-1] == 0:
        return table.sum(-1) - torch.inf
    peak = table.detach().amax(-1, keepdim=True)
    peak = torch.where(peak == -torch.inf, 0.0, peak)
    total = (table - peak).exp().sum(-1)
    empty = total == 0
    log_total = torch.where(empty, 1.0, total).log() + peak.squeeze(-1)
    return torch.where(empty, -torch.inf, log_total)


def reduce_table(
    table: Tensor, keep: Tensor, reduction: Reduction, clip: float | None, soft_clip: float | None
) -> Tensor:
    """Reduce scores (m, k) over those of the k columns where ``keep`` (m, k) is True."""
    if soft_clip is not None:
        table = bend(table, soft_clip)
    if clip is not None:
        table = table.clamp(-clip, clip)
    if reduction == "logsumexp":
        return logsumexp(table, keep)
    if reduction == "softplus":
        table = softplus(table)
    elif reduction == "square_sum":
        table = table.square()
    elif reduction == "pearson":
        table = table + 0.25 * table.square()
    return table.masked_fill(~keep, 0.0).sum(-1)
