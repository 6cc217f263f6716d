"""A moving average of a positive number, kept as its logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_number

__all__ = ["check_rate", "log_average_with"]


def check_rate(rate: object) -> float:
    """Return the weight of the newest batch if it is a number in (0, 1], else raise."""
    number = check_number("rate", rate)
    if not 0 < number <= 1:
        raise ValueError(f"rate must be in (0, 1], got {rate}")
    return number


@torch.no_grad()
def log_average_with(log_average: Tensor, log_newest: Tensor, rate: float) -> Tensor:
    """The log of the average with one more value in it, of which the log is given.

    Args:
        log_average: log of the average so far; -inf: nothing seen yet, and the newest value then counts whole.
        log_newest: log of the value.
        rate: weight of the value.
    """
    log_newest = log_newest.to(log_average.dtype)
    log_rate = log_average.new_tensor(rate).log()
    older = log_average + torch.log1p(-log_rate.exp())
    return torch.where(log_average == -torch.inf, log_newest, torch.logaddexp(older, log_newest + log_rate))
