"""A trained factor of all scores, the inverse of a temperature."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from infomax._checks import check_number
from infomax._precision import widened

__all__ = ["LearnedScale"]


class _Bounded(torch.autograd.Function):
    """The minimum of a number and a bound. Beyond the bound, a gradient passes if descent lowers the number."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, largest: float) -> Tensor:
        return value.clamp(max=largest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], _: Tensor) -> None:
        value, ctx.largest = inputs
        ctx.save_for_backward(value)
        ctx.save_for_forward(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        return torch.where((value <= ctx.largest) | (grad > 0), grad, 0.0), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (value,) = ctx.saved_tensors
        return torch.where(value <= ctx.largest, tangent, 0.0)


class LearnedScale(nn.Module):
    """A layer that multiplies rows by a positive number, which is trained with the critic.

    The parameter is the logarithm of the number. The number never exceeds ``largest``, 100 by default as in CLIP, so
    that training stays stable. Where the parameter lies beyond the bound, only a gradient whose descent step lowers
    it passes.

    Args:
        start: initial value of the number.
        largest: upper bound of the number.

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
        bounded: Tensor = _Bounded.apply(widened(self.log_value), math.log(self.largest))
        return bounded.exp()

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.value.to(rows.dtype)

    def extra_repr(self) -> str:
        return f"largest={self.largest}"
