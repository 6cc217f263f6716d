"""Means over joint and marginal pairs, the building blocks of all estimators."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.scores import PairScores
from infomax.scores.reductions import logsumexp

__all__ = ["log_mean_exp_marginal", "mean_joint", "mean_marginal"]

_REDUCTIONS = ("mean", "none")


def mean_joint(scores: PairScores, values: Tensor, reduction: str = "mean") -> Tensor:
    """Return the mean of values (J,) over all joint pairs; with ``"none"``, the mean for each global, (M,)."""
    check_choice("reduction", reduction, _REDUCTIONS)
    return values.mean() if reduction == "mean" else scores.mean_per_global(values)


def mean_marginal(scores: PairScores, sums: Tensor, reduction: str = "mean") -> Tensor:
    """Return the mean over all marginal pairs, from the sums of each global, (M,); with ``"none"``, a mean for each."""
    check_choice("reduction", reduction, _REDUCTIONS)
    count = scores.count().to(sums.dtype)
    return sums.sum() / count.sum() if reduction == "mean" else sums / count


def log_mean_exp_marginal(scores: PairScores, log_sums: Tensor, reduction: str = "mean") -> Tensor:
    """Return the log of the mean of e^T over all marginal pairs, from the log-sum-exps of each global, (M,).

    With ``"none"``, return the log of the mean for each global, (M,).
    """
    check_choice("reduction", reduction, _REDUCTIONS)
    count = scores.count().to(log_sums.dtype)
    return logsumexp(log_sums) - count.sum().log() if reduction == "mean" else log_sums - count.log()
