"""A learned factor of all scores: the inverse of a temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from infomax._checks import check_number
from infomax._precision import widened

__all__ = ["LearnedScale"]


class LearnedScale(nn.Module):
    """Multiplies rows by a positive number that is trained with the critic.

    The number is kept as its logarithm. It never exceeds 100, as in CLIP, so that training stays stable.

    Args:
        start: the number at first.
        largest: its bound.

    Source:
        Radford et al. 2021 (CLIP), section 2.5.

    Example:
        >>> import torch
        >>> from infomax.critics import LearnedScale
        >>> LearnedScale(4.0)(torch.ones(1, 2)).detach().round(decimals=3)
        tensor([[4., 4.]])
    """

    def __init__(self, start: float, *, largest: float = 100.0) -> None:
        super().__init__()
        self.log_value = nn.Parameter(torch.tensor(math.log(check_number("start", start, above=0))))
        self.largest = check_number("largest", largest, above=0)

    @property
    def value(self) -> Tensor:
        """The number, a scalar."""
        return widened(self.log_value).clamp(max=math.log(self.largest)).exp()

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.value.to(rows.dtype)

    def extra_repr(self) -> str:
        return f"largest={self.largest}"
