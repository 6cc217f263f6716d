"""From users' data to two sides with the same rows; data that cannot be read raise a clear error."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from infomax._checks import check_choice
from infomax.mi.input.alignment import check_alignment
from infomax.mi.input.columns import Column, as_columns, joined
from infomax.mi.input.sides import are_few
from infomax.mi.input.titles import in_order_of

__all__ = ["DISCRETE", "MINIMUM_ROWS", "Values", "columns_of", "columns_of_given", "settled"]

MINIMUM_ROWS = 50
DISCRETE = ("auto", "x", "y", "both")

Values = ArrayLike | Tensor | Iterable[object]
"""Types of the values of a side: an array, a tensor, a data frame, a list or an iterable of batches."""


def columns_of(
    x: Values, y: Values | None, *, discrete: str = "auto", name: str = "x"
) -> tuple[list[Column], list[Column]]:
    """Read two sides with the same rows as columns.

    Args:
        x: (n,) or (n, dx); or, where y is None, an iterable of batches (x, y), such as a data loader.
        y: (n,) or (n, dy).
        discrete: the side whose numbers are labels, ``"x"``, ``"y"`` or ``"both"``; ``"auto"`` decides by the values.
        name: name of the argument x in messages.

    Raises:
        TypeError: values that are neither numbers nor labels.
        ValueError: other shapes, lengths that differ, fewer than 50 rows, NaN or infinity, different integers that
            become equal as float64.
    """
    check_choice("discrete", discrete, DISCRETE)
    of_x, of_y = _from_batches(x) if y is None else (as_columns(name, x), as_columns("y", y))
    for side, of_side in ((name, of_x), ("y", of_y)):
        if not of_side:
            raise ValueError(f"{side} must have at least one column, got none")
    n, rows_y = (len(side[0].values) for side in (of_x, of_y))
    if n != rows_y:
        raise ValueError(
            f"{name} and y must have the same number of rows, a pair in each, got {n} from ({n}, {len(of_x)}) and "
            f"{rows_y} from ({rows_y}, {len(of_y)})"
        )
    if n < MINIMUM_ROWS:
        raise ValueError(f"{name} must have at least {MINIMUM_ROWS} rows to train, choose and report on, got {n}")
    of_y = _moved(of_y, of_x[0].values.device)
    return settled(of_x, discrete in ("x", "both")), settled(of_y, discrete in ("y", "both"))


def columns_of_given(given: Values, x: list[Column]) -> list[Column]:
    """Read a third variable as columns with the rows and the device of x.

    Args:
        given: (n,) or (n, dz).
        x: columns of x.

    Raises:
        TypeError: values that are neither numbers nor labels.
        ValueError: other shapes or lengths, NaN or infinity, a variable that does not vary, different integers that
            become equal as float64.
    """
    columns = as_columns("given", given)
    rows, came = len(x[0].values), len(columns[0].values) if columns else 0
    if came != rows:
        raise ValueError(f"given must have as many rows as x and y, {rows}, got {came}")
    if all(bool((column.values == column.values[:1]).all()) and not column.merges for column in columns):
        raise ValueError(
            f"given must vary, got the same row {rows} times; leave it out: a constant carries no information"
        )
    return _moved(settled(columns, False), x[0].values.device)


def settled(columns: list[Column], labels: bool) -> list[Column]:
    """Return the columns of a side, each as numbers or as labels.

    Args:
        columns: columns of the side.
        labels: whether all numbers are labels.

    Raises:
        ValueError: different integers, read as numbers, that are equal as float64.
    """
    columns = [column.as_labels() if labels or column.labels else column for column in columns]
    varying = [i for i, column in enumerate(columns) if bool((column.values != column.values[:1]).any())]
    varying = varying or [i for i, column in enumerate(columns) if column.merges]  # integers that differ but merge
    if len(varying) == 1 and columns[varying[0]].merges:
        named = columns[varying[0]].as_labels()
        if are_few(named.values):
            columns[varying[0]] = named
    for column in columns:
        if column.merges:
            kept = len(torch.unique(column.values))
            raise ValueError(
                f"{column.called} must hold integers that stay distinct as float64, got {kept + column.merges} that "
                f"become {kept}; subtract the smallest from numbers, and pass identifiers as strings, such as "
                "by .astype(str)"
            )
    return columns


def _moved(columns: list[Column], device: torch.device) -> list[Column]:
    return [column.to(device) for column in columns]


def _from_batches(batches: object) -> tuple[list[Column], list[Column]]:
    frame = hasattr(batches, "columns") or hasattr(batches, "to_numpy")
    if isinstance(batches, Tensor | np.ndarray) or frame or not isinstance(batches, Iterable):
        raise TypeError(
            "y must be given together with x, or x be an iterable of batches (x, y), got "
            f"{type(batches).__name__} alone"
        )
    parts: tuple[list[list[Column]], list[list[Column]]] = ([], [])
    titles: dict[str, list[object]] = {}
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise TypeError(
                f"x, an iterable of batches, must give pairs (x, y), got {type(batch).__name__}"
                + (f" of length {len(batch)}" if isinstance(batch, list | tuple) else "")
            )
        check_alignment(x=batch[0], y=batch[1])
        for name, part, values in zip("xy", parts, batch, strict=True):
            columns = as_columns(name, values)
            if any(column.labels and _are_text(values) for column in columns):
                raise TypeError(f"{name} must hold numbers where it comes in batches, got labels; give them as numbers")
            first = titles.setdefault(name, [column.title for column in columns])
            if len(columns) != len(first):
                raise ValueError(
                    f"{name} must have as many columns in each batch as in the first, {len(first)}, got {len(columns)}"
                )
            part.append(in_order_of(name, columns, first, "the first batch"))
    if not parts[0]:
        raise ValueError("x must give at least one batch (x, y), got none")
    of_x, of_y = ([joined(columns) for columns in zip(*part, strict=True)] for part in parts)
    return of_x, of_y


def _are_text(values: object) -> bool:
    """Return whether labels are text, whose codes would differ from batch to batch."""
    return not isinstance(values, Tensor) and np.asarray(values).dtype.kind not in "fiub"
