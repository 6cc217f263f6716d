"""Rows of one side in the form from which every start scores pairs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["StartRows"]


class StartRows(NamedTuple):
    """The terms of a start's score that depend on one side; unused terms are 0 or have no columns."""

    square: Tensor
    """(..., n), squared Mahalanobis radius within the side."""
    joint: Tensor
    """(..., n), the row's contribution to the squared radius of a pair."""
    leading: Tensor
    """(..., n, r), coordinates; the squared radius of a pair is reduced by the inner product of those of x and y."""
    places: Tensor
    """(..., n, t), int64, the row's bin in each of the t tables of scores."""
