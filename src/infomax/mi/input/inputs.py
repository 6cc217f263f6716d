"""From what users have to two sides of the same rows, or a clear error."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from infomax._checks import check_choice
from infomax.mi.input.columns import Column, as_columns
from infomax.mi.input.sides import Side, as_side

__all__ = ["DISCRETE", "MINIMUM_ROWS", "Values", "as_pairs", "columns_of", "columns_of_given"]

MINIMUM_ROWS = 50
DISCRETE = ("auto", "x", "y", "both")

Values = ArrayLike | Tensor | Iterable[object]
"""What a side may be: an array or tensor, a data frame, a list."""


def columns_of(x: Values, y: Values | None, *, discrete: str = "auto") -> tuple[list[Column], list[Column]]:
    """Columns of two sides with the same rows.

    Args:
        x: (n,) or (n, dx); or, where y is None, an iterable of batches (x, y), as a data loader is.
        y: (n,) or (n, dy).
        discrete: side whose numbers are labels, ``"x"``, ``"y"`` or ``"both"``; ``"auto"`` looks for itself.

    Raises:
        TypeError: something that is neither numbers nor labels.
        ValueError: other shapes, lengths that differ, too few rows, NaN or infinity.
    """
    check_choice("discrete", discrete, DISCRETE)
    of_x, of_y = _from_batches(x) if y is None else (as_columns("x", x), as_columns("y", y))
    n, rows_y = (len(side[0].values) if side else 0 for side in (of_x, of_y))
    if n != rows_y:
        raise ValueError(
            f"x and y must have the same number of rows, a pair in each, got {n} from ({n}, {len(of_x)}) and "
            f"{rows_y} from ({rows_y}, {len(of_y)})"
        )
    if n < MINIMUM_ROWS:
        raise ValueError(f"x must have at least {MINIMUM_ROWS} rows to train, choose and report on, got {n}")
    of_y = _moved(of_y, of_x[0].values.device)
    return _labelled(of_x, discrete in ("x", "both")), _labelled(of_y, discrete in ("y", "both"))


def columns_of_given(given: Values, x: list[Column]) -> list[Column]:
    """Columns of a third variable with the rows of x, on its device.

    Args:
        given: (n,) or (n, dz).
        x: columns of x.

    Raises:
        TypeError: something that is neither numbers nor labels.
        ValueError: other shapes or lengths, NaN or infinity.
    """
    columns = as_columns("given", given)
    rows, came = len(x[0].values), len(columns[0].values) if columns else 0
    if came != rows:
        raise ValueError(f"given must have as many rows as x and y, {rows}, got {came}")
    return _moved(columns, x[0].values.device)


def as_pairs(x: list[Column], y: list[Column]) -> tuple[Side, Side]:
    """Both sides as critics see them."""
    return as_side("x", x), as_side("y", y)


def _moved(columns: list[Column], device: torch.device) -> list[Column]:
    return [column._replace(values=column.values.to(device)) for column in columns]


def _labelled(columns: list[Column], labels: bool) -> list[Column]:
    return [column._replace(labels=labels or column.labels) for column in columns]


def _from_batches(batches: object) -> tuple[list[Column], list[Column]]:
    frame = hasattr(batches, "columns") or hasattr(batches, "to_numpy")
    if isinstance(batches, Tensor | np.ndarray) or frame or not isinstance(batches, Iterable):
        raise TypeError(
            f"y must be given beside x, or x be an iterable of batches (x, y), got {type(batches).__name__} alone"
        )
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise TypeError(
                f"x, an iterable of batches, must give pairs (x, y), got {type(batch).__name__}"
                + (f" of length {len(batch)}" if isinstance(batch, list | tuple) else "")
            )
        for name, part, values in zip("xy", parts, batch, strict=True):
            columns = as_columns(name, values)
            if any(column.labels and _are_text(values) for column in columns):
                raise TypeError(f"{name} must hold numbers where it comes in batches, got labels; give them as numbers")
            part.append(torch.stack([column.values for column in columns], 1))
    if not parts[0]:
        raise ValueError("x must give at least one batch (x, y), got none")
    of_x, of_y = (torch.cat(part) for part in parts)
    return as_columns("x", of_x), as_columns("y", of_y)


def _are_text(values: object) -> bool:
    """Whether labels are numbered anew in each batch."""
    return not isinstance(values, Tensor) and np.asarray(values).dtype.kind not in "fiub"
