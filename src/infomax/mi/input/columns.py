"""Columns of tensors, arrays and data frames: numbers, or labels without an order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from infomax._checks import shape_of

__all__ = ["Column", "as_columns"]


class Column(NamedTuple):
    """One column of a side."""

    values: Tensor
    """(n,), float64: numbers, or the numbers of labels."""
    labels: bool
    """Whether their order and distances mean nothing."""
    names: tuple[str, ...] | None = None
    """Of labels that are no numbers: the k-th is the label of the number k."""


def as_columns(name: str, values: object) -> list[Column]:
    """Columns of what a user gave.

    Args:
        name: the argument, for messages.
        values: a tensor, array or nested list of shape (n,) or (n, d), or a data frame or series of pandas or polars.

    Raises:
        TypeError: a column of dates, or of objects that are neither numbers nor strings.
        ValueError: another shape, masked values, NaN or infinity, missing labels.
    """
    if isinstance(values, Tensor):
        return _of_matrix(name, values)
    names = getattr(values, "columns", None)
    if names is not None and hasattr(values, "__getitem__"):
        series_of = _series_of(values, names)
        return [column for title, series in series_of for column in _of_series(f"{name}[{title!r}]", series)]
    if hasattr(values, "to_numpy"):
        return _of_series(name, values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        rows = int(np.ma.getmaskarray(values).reshape(len(values), -1).any(1).sum())
        raise ValueError(
            f"{name} must have a value everywhere, got masked values in {rows} of {len(values)} rows; leave these rows "
            "out of x and y"
        )
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.array(values, dtype=object)  # of a list that mixes numbers and strings numpy makes strings
    if array.dtype.kind in "fiu":
        return _of_matrix(name, torch.from_numpy(np.array(array, dtype=np.float64)))
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise _shape_error(name, array.shape)
    several = array.shape[1] > 1
    return [_of_array(f"{name}[:, {i}]" if several else name, array[:, i]) for i in range(array.shape[1])]


def _series_of(frame: Any, names: Iterable[object]) -> Iterable[tuple[object, object]]:
    """Names of columns and the columns: by their places in pandas, where names may repeat."""
    by_place = getattr(frame, "iloc", None)
    for place, column in enumerate(names):
        yield column, frame[column] if by_place is None else by_place[:, place]


def _of_matrix(name: str, matrix: Tensor) -> list[Column]:
    if matrix.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {matrix.dtype}")
    labels = matrix.dtype == torch.bool
    matrix = matrix.detach().double()
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise _shape_error(name, matrix.shape)
    if not bool(matrix.isfinite().all()):
        bad = int((~matrix.isfinite()).any(1).sum())
        raise ValueError(f"{name} must be finite, got NaN or infinity in {bad} of {len(matrix)} rows")
    return [Column(column, labels, ("False", "True") if labels else None) for column in matrix.T]


def _of_series(name: str, series: object) -> list[Column]:
    """Its column; several where each value is an array."""
    missing = getattr(series, "isna", None) or getattr(series, "is_null", None)  # of pandas, of polars
    if missing is not None:
        _check_present(name, np.asarray(missing()))
    array = np.asarray(series.to_numpy())  # type: ignore[attr-defined]
    if array.ndim != 1:
        return as_columns(name, array)
    categories = getattr(getattr(series, "cat", None), "categories", None)  # of pandas
    if categories is not None and array.dtype.kind not in "fiu":  # intervals and dates, too
        array = np.asarray(categories.astype(str))[series.cat.codes.to_numpy()]  # type: ignore[attr-defined]
    column = _of_array(name, array)
    labels = column.labels or str(getattr(series, "dtype", "")).lower() == "category"
    return [column._replace(labels=labels)]


def _of_array(name: str, array: np.ndarray) -> Column:
    kind = array.dtype.kind
    if kind in "fiu":
        return _of_matrix(name, torch.from_numpy(np.array(array, dtype=np.float64)))[0]
    if kind in "Mm":
        raise TypeError(f"{name} must hold numbers or labels, got dates or times; turn them into numbers, such as days")
    if kind == "O":
        _check_present(name, np.array([_is_missing(value) for value in array.tolist()]))
        types = {type(value) for value in array.tolist()}
        if all(issubclass(one, int | float | np.number) and not issubclass(one, bool) for one in types):
            return _of_matrix(name, torch.from_numpy(array.astype(np.float64)))[0]
        if not all(issubclass(one, str | bool | np.bool_ | int) for one in types):
            listed = ", ".join(sorted(one.__name__ for one in types))
            raise TypeError(f"{name} must hold numbers or labels, got objects of type {listed}; take features of them")
        array = array.astype(str)
    elif kind not in "bUST":
        raise TypeError(f"{name} must hold real numbers or labels, got an array of {array.dtype}")
    levels, codes = np.unique(array, return_inverse=True)
    names = tuple(str(level) for level in levels)
    return Column(torch.from_numpy(codes.reshape(-1).astype(np.float64)), labels=True, names=names)


def _is_missing(value: object) -> bool:
    """Whether it is None, NaN or pandas' NA, of which no comparison is true or false."""
    if value is None or type(value).__name__ == "NAType":
        return True
    differs = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)  # of an array it is an array


def _check_present(name: str, missing: np.ndarray) -> None:
    if missing.any():
        raise ValueError(
            f"{name} must have a value everywhere, got {int(missing.sum())} of {len(missing)} missing; leave these "
            "rows out of x and y"
        )


def _shape_error(name: str, shape: Iterable[int]) -> ValueError:
    return ValueError(
        f"{name} must have shape (n,) or (n, d), got {shape_of(tuple(shape))}; flatten each row or take features of it"
    )
