"""A moving average of a positive number, stored as its logarithm."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from infomax._checks import check_number, check_same_device

__all__ = ["LogAverage"]


class LogAverage(nn.Module):
    """The logarithm of a moving average, kept in float32 at least, even if the parent module is cast to fewer bits.

    Args:
        rate: weight of the newest value, in (0, 1].

    Raises:
        TypeError: rate is not a number.
        ValueError: rate is not in (0, 1].
    """

    value: Tensor
    """Log of the average so far; -inf before the first value, which then becomes the average."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = check_number("rate", rate, above=0)
        if self.rate > 1:
            raise ValueError(f"rate must be in (0, 1], got {rate}")
        self.register_buffer("value", torch.tensor(-torch.inf))

    @torch.no_grad()
    def forward(self, log_newest: Tensor) -> Tensor:
        """Return the log of the average including one more value, without storing it.

        A value that is not finite is ignored, just as an optimizer step is skipped after an overflow.

        Args:
            log_newest: log of the new value, a scalar.
        """
        check_same_device(scores=log_newest, average=self.value)
        log_newest = log_newest.to(self.value.dtype)
        log_rate = self.value.new_tensor(self.rate).log()
        older = self.value + torch.log1p(-log_rate.exp())
        updated = torch.where(self.value == -torch.inf, log_newest, torch.logaddexp(older, log_newest + log_rate))
        return torch.where(log_newest.isfinite(), updated, self.value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LogAverage:
        before = self.value
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.value.dtype.itemsize < before.dtype.itemsize and self.value.dtype.itemsize < 4:
            self.value = before.to(self.value.device)
        return self

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
