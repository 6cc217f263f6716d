"""Means over joint and marginal pairs, which every formula is made of."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.scores import PairScores
from infomax.scores.reductions import logsumexp

__all__ = ["log_mean_exp_marginal", "mean_joint", "mean_marginal"]

_REDUCTIONS = ("mean", "none")


def mean_joint(scores: PairScores, values: Tensor, reduction: str = "mean") -> Tensor:
    """Mean of values (J,) over all joint pairs; or over those of each global, (M,), with ``"none"``."""
    check_choice("reduction", reduction, _REDUCTIONS)
    return values.mean() if reduction == "mean" else scores.mean_per_global(values)


def mean_marginal(scores: PairScores, sums: Tensor, reduction: str = "mean") -> Tensor:
    """Mean over all marginal pairs, from sums (M,) over those of each global; or the mean of each global, (M,)."""
    check_choice("reduction", reduction, _REDUCTIONS)
    count = scores.count().to(sums.dtype)
    return sums.sum() / count.sum() if reduction == "mean" else sums / count


def log_mean_exp_marginal(scores: PairScores, log_sums: Tensor, reduction: str = "mean") -> Tensor:
    """log of the mean of e^T over all marginal pairs, from log-sum-exps (M,); or that of each global, (M,)."""
    check_choice("reduction", reduction, _REDUCTIONS)
    count = scores.count().to(log_sums.dtype)
    return logsumexp(log_sums) - count.sum().log() if reduction == "mean" else log_sums - count.log()
