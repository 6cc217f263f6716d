"""Means over joint and marginal pairs, which every formula is made of."""

from __future__ import annotations

from torch import Tensor

from infomax.scores import PairScores
from infomax.scores.reductions import logsumexp

__all__ = ["clipped", "log_mean_exp_marginal", "mean_difference", "mean_marginal"]


def clipped(joint: Tensor, clip: float | None) -> Tensor:
    """Joint scores brought into [-clip, clip]."""
    return joint if clip is None else joint.clamp(-clip, clip)


def mean_marginal(scores: PairScores, reduced: Tensor) -> Tensor:
    """Mean over all marginal pairs, from sums over those of each global."""
    return reduced.sum() / scores.count().to(reduced.dtype).sum()


def log_mean_exp_marginal(scores: PairScores, reduced: Tensor) -> Tensor:
    """log of the mean of e^T over all marginal pairs, from the log-sum-exps of each global."""
    return logsumexp(reduced) - scores.count().to(reduced.dtype).sum().log()


def mean_difference(scores: PairScores, joint: Tensor, total: Tensor) -> Tensor:
    """Mean joint less mean marginal score, from the joint scores and the sums over each global's marginal pairs."""
    return joint.mean() - mean_marginal(scores, total)
