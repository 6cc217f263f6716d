"""Negatives that belong to a single global each, such as the corrupted copy of a node or hard negatives of a query."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of
from infomax._precision import may_differ
from infomax.pairs.checks import check_features
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import Rows

__all__ = ["pair_own"]


def pair_own(x: Tensor, y: Tensor, negatives: Tensor) -> Rows:
    """Align each y with its x and with its own negatives.

    Args:
        x: (N, c).
        y: (N, d).
        negatives: (N, M, c), the M marginal rows of each y.

    Returns:
        Aligned rows: first the N pairs of x and y, then the M negatives of the first y, those of the second, and so on.

    Raises:
        TypeError: a dtype is not floating, or, without autocast, the negatives do not have the dtype of x.
        ValueError: shapes or devices do not fit.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_own
        >>> rows = pair_own(torch.randn(4, 8), torch.randn(4, 5), torch.randn(4, 2, 8))
        >>> rows.local.shape, rows.global_.shape, rows.own
        (torch.Size([12, 8]), torch.Size([12, 5]), 2)
    """
    check_features(x, y, at_least=1, names=("x", "y"))
    check_floating("negatives", negatives)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"x and y must be vectors (N, c) and (N, d), got {shape_of(x)} and {shape_of(y)}")
    fits = negatives.ndim == 3 and negatives.shape[0] == len(y) and negatives.shape[2] == x.shape[1]
    if not fits or negatives.shape[1] == 0:
        raise ValueError(
            f"negatives with three axes must have shape ({len(y)}, M, {x.shape[1]}), M rows of x for each y, got "
            f"{shape_of(negatives)}; rows that all y share have shape (L, {x.shape[1]})"
        )
    check_same_device(x=x, negatives=negatives)
    if negatives.dtype != x.dtype and not may_differ(negatives, x):
        raise TypeError(f"negatives must have the dtype of x, {x.dtype}, got {negatives.dtype}")
    own = negatives.shape[1]
    local, global_ = torch.cat([x, negatives.flatten(0, 1).to(x.dtype)]), torch.cat([y, y.repeat_interleave(own, 0)])
    aligned = torch.arange(len(local), device=x.device)
    return Rows(local, global_, Pairing(len(local), 1, aligned, locations=1), own=own)
