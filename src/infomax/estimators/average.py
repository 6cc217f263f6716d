"""A moving average of the mean of e^T, kept as its logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_number
from infomax.functional.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["check_rate", "log_average_with"]


def check_rate(rate: object) -> float:
    """Return the weight of the newest batch if it is a number in (0, 1], else raise."""
    number = check_number("rate", rate)
    if not 0 < number <= 1:
        raise ValueError(f"rate must be in (0, 1], got {rate}")
    return number


@torch.no_grad()
def log_average_with(log_average: Tensor, scores: PairScores, marginal: Tensor, rate: float) -> Tensor:
    """The log of the average with one more batch in it, a scalar in the dtype of the scores.

    Args:
        log_average: log of the average so far; -inf: nothing seen yet, and the batch then counts whole.
        scores: of the batch.
        marginal: its log-sum-exps, (M,).
        rate: weight of the batch.
    """
    log_mean = log_mean_exp_marginal(scores, marginal).to(log_average.dtype)
    log_rate = log_average.new_tensor(rate).log()
    older = log_average + torch.log1p(-log_rate.exp())
    return torch.where(log_average == -torch.inf, log_mean, torch.logaddexp(older, log_mean + log_rate))
