"""The rows of one side, in the form in which every start scores pairs of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["StartRows"]


class StartRows(NamedTuple):
    """What a start needs to know of the rows of one side. What it does not use is 0, or has no columns."""

    square: Tensor
    """(..., n), squared Mahalanobis radius within the side."""
    joint: Tensor
    """(..., n), what the row adds to the squared radius of a pair."""
    leading: Tensor
    """(..., n, r), coordinates whose inner product is taken off that."""
    places: Tensor
    """(..., n, t), int64: the row's place along its side of each table of scores."""
