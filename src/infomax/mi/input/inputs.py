"""From what users have to two matrices of finite numbers, or a clear error."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from infomax._checks import shape_of

__all__ = ["MINIMUM_ROWS", "as_pairs"]

MINIMUM_ROWS = 50


def as_pairs(x: ArrayLike | Tensor | Iterable[object], y: ArrayLike | Tensor | None) -> tuple[Tensor, Tensor]:
    """Two float64 matrices with the same rows, without constant columns.

    Args:
        x: (n,) or (n, dx); or, where y is None, an iterable of batches (x, y), as a data loader is.
        y: (n,) or (n, dy).

    Raises:
        TypeError: something that is not numbers.
        ValueError: other shapes, lengths that differ, too few rows, NaN or infinity, a constant side.
    """
    if y is None:
        x, y = _from_batches(x)
    of_x, of_y = _matrix("x", x), _matrix("y", y)
    if len(of_x) != len(of_y):
        raise ValueError(
            f"x and y must have the same number of rows, a pair in each, got {len(of_x)} from {shape_of(of_x)} and "
            f"{len(of_y)} from {shape_of(of_y)}"
        )
    if len(of_x) < MINIMUM_ROWS:
        raise ValueError(f"x must have at least {MINIMUM_ROWS} rows to train, choose and report on, got {len(of_x)}")
    return _varying("x", of_x), _varying("y", of_y).to(of_x.device)


def _from_batches(batches: object) -> tuple[Tensor, Tensor]:
    if isinstance(batches, Tensor | np.ndarray) or not isinstance(batches, Iterable):
        raise TypeError(
            f"y must be given beside x, or x be an iterable of batches (x, y), got {type(batches).__name__} alone"
        )
    parts_x, parts_y = [], []
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise TypeError(
                f"x, an iterable of batches, must give pairs (x, y), got {type(batch).__name__}"
                + (f" of length {len(batch)}" if isinstance(batch, list | tuple) else "")
            )
        parts_x.append(_matrix("x", batch[0]))
        parts_y.append(_matrix("y", batch[1]))
    if not parts_x:
        raise ValueError("x must give at least one batch (x, y), got none")
    return torch.cat(parts_x), torch.cat(parts_y)


def _matrix(name: str, values: object) -> Tensor:
    if isinstance(values, Tensor):
        if values.is_complex():
            raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
        matrix = values.detach().double()
    else:
        if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
            rows = int(np.ma.getmaskarray(values).reshape(len(values), -1).any(1).sum())
            raise ValueError(
                f"{name} must have a value everywhere, got masked values in {rows} of {len(values)} rows; leave these "
                "rows out of x and y"
            )
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{name} must hold real numbers, got an array of {array.dtype}; write categories as 0/1 columns"
            )
        matrix = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise ValueError(
            f"{name} must have shape (n,) or (n, d), got {shape_of(matrix)}; flatten each row or take features of it"
        )
    if not bool(matrix.isfinite().all()):
        bad = int((~matrix.isfinite()).any(1).sum())
        raise ValueError(f"{name} must be finite, got NaN or infinity in {bad} of {len(matrix)} rows")
    return matrix


def _varying(name: str, matrix: Tensor) -> Tensor:
    varies = (matrix != matrix[:1]).any(0)
    if not bool(varies.any()):
        raise ValueError(f"{name} must vary, got the same row {len(matrix)} times: its mutual information is 0")
    return matrix[:, varies]
