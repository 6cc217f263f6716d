"""The check of a representation before it is matched to a prior."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_generator, shape_of

__all__ = ["check_representation"]


def check_representation(y: Tensor, dim: int, generator: torch.Generator | None, *, may_be_empty: bool = False) -> None:
    """Raise unless y is (N, dim) or (N, dim, \\*spatial) with at least one sample, and the generator is one or None.

    Args:
        y: the representation.
        dim: number of its channels.
        generator: the generator of the draws, or None.
        may_be_empty: whether N may be 0.
    """
    check_floating("y", y)
    check_generator(generator)
    if y.ndim < 2 or y.shape[1] != dim or 0 in y.shape[may_be_empty:]:
        raise ValueError(f"y must have shape (N, {dim}) or (N, {dim}, *spatial), got {shape_of(y)}")
