"""Addition at an index in a fixed order."""

from __future__ import annotations

from torch import Tensor

__all__ = ["add_at"]


def add_at(total: Tensor, index: Tensor, values: Tensor) -> None:
    """Add values to ``total`` in place, along its first axis at an index, in the same order on every run."""
    if total.device.type == "cpu":
        total.index_add_(0, index, values)
    else:
        # On other devices, index_add_ has no fixed order of addition.
        total.index_put_((index,), values, accumulate=True)
