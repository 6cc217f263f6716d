"""Columns of tensors, arrays and data frames: numbers, or labels without an order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from infomax._checks import shape_of
from infomax.mi.input.numbers import are_numbers, as_numbers, large_integers
from infomax.mi.input.readable import as_table, check_readable

__all__ = ["Column", "as_columns", "integers_of", "joined"]


class Column(NamedTuple):
    """One column of a side."""

    values: Tensor
    """(n,), float64: numbers, or codes of labels."""
    labels: bool
    """Whether the values are codes of labels, whose order and distances mean nothing."""
    names: tuple[str, ...] | None = None
    """Names of the labels where these are not numbers: code k stands for the k-th name."""
    exact: np.ndarray | None = None
    """(n,), the integers themselves where float64 may not represent them exactly; else None."""
    called: str = ""
    """Name of the column in messages, such as x['age']."""
    title: object = None
    """Name of the column in a data frame; None without one."""

    def to(self, device: torch.device) -> Column:
        """Return the same column on a device."""
        return self._replace(values=self.values.to(device))

    def as_labels(self) -> Column:
        """Return the column as labels; integers that float64 cannot represent become labels with names."""
        if self.exact is None:
            return self._replace(labels=True)
        codes, names = _numbered(self.exact)
        return self._replace(values=codes.to(self.values.device), labels=True, names=names, exact=None)

    @property
    def merges(self) -> int:
        """Number of different integers minus number of different float64 values: how many become equal as float64."""
        return 0 if self.exact is None else len(np.unique(self.exact)) - len(torch.unique(self.values))


def joined(parts: Sequence[Column]) -> Column:
    """Join the parts of a column from several batches into one column of numbers; booleans become 0 and 1."""
    values = torch.cat([part.values for part in parts])
    exact = None
    if any(part.exact is not None for part in parts):
        exact = np.concatenate([integers_of(part) for part in parts])
    return parts[0]._replace(values=values, labels=False, names=None, exact=exact)


def integers_of(column: Column) -> np.ndarray:
    """Return the numbers (n,) as Python objects: whole numbers as integers, others as floats."""
    if column.exact is not None:
        return column.exact.astype(object)
    return np.array([int(value) if value == int(value) else value for value in column.values.tolist()], dtype=object)


def as_columns(name: str, values: object) -> list[Column]:
    """Read a user's values as columns.

    Args:
        name: the argument, for messages.
        values: a tensor, array or nested list of shape (n,) or (n, d), or a data frame or series of pandas or polars; a
            list of columns is returned unchanged.

    Raises:
        TypeError: a sparse, nested or quantised tensor, a sparse matrix, a column of dates, or of objects that are
            neither numbers nor strings.
        ValueError: another shape, rows of different lengths, masked values, NaN or infinity, missing labels, a tensor
            on the meta device.
    """
    if isinstance(values, list) and values and all(isinstance(column, Column) for column in values):
        return cast("list[Column]", values)
    check_readable(name, values)
    if isinstance(values, Tensor):
        return _of_matrix(name, values)
    names = getattr(values, "columns", None)
    if names is not None and hasattr(values, "__getitem__"):
        return [column for title, series in _series_of(values, names) for column in _titled(name, title, series)]
    if hasattr(values, "to_numpy"):
        return _of_series(name, values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        rows = int(np.ma.getmaskarray(values).reshape(len(values), -1).any(1).sum())
        raise ValueError(
            f"{name} must have a value everywhere, got masked values in {rows} of {len(values)} rows; leave these rows "
            "out of x and y"
        )
    table = as_table(name, values)
    if isinstance(table, Tensor):
        return _of_matrix(name, table)
    return _of_table(name, table)


def _of_table(name: str, table: np.ndarray) -> list[Column]:
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2:
        raise _shape_error(name, table.shape)
    if table.dtype.kind in "fiu" and large_integers(table) is None:  # convert all columns at once: there may be many
        return _of_matrix(name, torch.from_numpy(as_numbers(name, table)))
    return [_of_array(_place(name, i, table.shape[1]), table[:, i]) for i in range(table.shape[1])]


def _place(name: str, column: int, columns: int) -> str:
    return name if columns == 1 else f"{name}[:, {column}]"


def _series_of(frame: Any, names: Iterable[object]) -> Iterable[tuple[object, object]]:
    """Yield the name and the values of each column, by position in pandas, where names may repeat."""
    by_place = getattr(frame, "iloc", None)
    for place, column in enumerate(names):
        yield column, frame[column] if by_place is None else by_place[:, place]


def _titled(name: str, title: object, series: object) -> list[Column]:
    """Read a column of a frame under its name; where each value is an array, read several columns and number them."""
    columns = _of_series(f"{name}[{title!r}]", series)
    title = "None" if title is None else title  # a title of None marks a column without a name
    several = len(columns) > 1
    return [column._replace(title=(title, i) if several else title) for i, column in enumerate(columns)]


def _of_matrix(name: str, matrix: Tensor) -> list[Column]:
    if matrix.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {matrix.dtype}")
    labels = matrix.dtype == torch.bool
    given = matrix.detach()
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2:
        raise _shape_error(name, given.shape)
    if given.dtype in (torch.int64, torch.uint64):  # the only dtypes with values that float64 cannot represent
        return [column.to(given.device) for column in _of_table(name, given.numpy(force=True))]
    numbers = given.double()
    if not bool(numbers.isfinite().all()):
        bad = int((~numbers.isfinite()).any(1).sum())
        raise ValueError(f"{name} must be finite, got NaN or infinity in {bad} of {len(numbers)} rows")
    names = ("False", "True") if labels else None
    places = [_place(name, i, numbers.shape[1]) for i in range(numbers.shape[1])]
    return [Column(column, labels, names, called=place) for column, place in zip(numbers.T, places, strict=True)]


def _of_series(name: str, series: object) -> list[Column]:
    """Read a series as one column, or as several columns where each value is an array."""
    missing = getattr(series, "isna", None) or getattr(series, "is_null", None)  # of pandas, of polars
    if missing is not None:
        _check_present(name, np.asarray(missing()))
    array = np.asarray(series.to_numpy())  # type: ignore[attr-defined]
    if array.ndim != 1:
        return as_columns(name, array)
    categories = getattr(getattr(series, "cat", None), "categories", None)  # of pandas
    if categories is not None and array.dtype.kind not in "fiu":  # also categories such as intervals and dates
        array = np.asarray(categories.astype(str))[series.cat.codes.to_numpy()]  # type: ignore[attr-defined]
    column = _of_array(name, array)
    labels = column.labels or str(getattr(series, "dtype", "")).lower() == "category"
    return [column.as_labels() if labels else column]


def _of_array(name: str, array: np.ndarray) -> Column:
    kind = array.dtype.kind
    if kind in "Mm":
        raise TypeError(f"{name} must hold numbers or labels, got dates or times; turn them into numbers, such as days")
    if kind == "O":
        _check_present(name, np.array([_is_missing(value) for value in array.tolist()], dtype=bool))
    if kind in "fiu" or (kind == "O" and are_numbers(array)):
        (column,) = _of_matrix(name, torch.from_numpy(as_numbers(name, array)))
        return column._replace(exact=large_integers(array))
    if kind == "b":  # through a bool tensor, which has the same codes in every batch
        return _of_matrix(name, torch.from_numpy(array.copy()))[0]  # a copy, as the array may be read-only
    if kind == "O":
        array = _as_text(name, array)
    elif kind not in "UST":
        raise TypeError(f"{name} must hold real numbers or labels, got an array of {array.dtype}")
    codes, names = _numbered(array)
    return Column(codes, labels=True, names=names, called=name)


def _as_text(name: str, array: np.ndarray) -> np.ndarray:
    types = {type(value) for value in array.tolist()}
    listed = ", ".join(sorted(one.__name__ for one in types))
    if all(issubclass(one, np.ndarray | list | tuple | Tensor) for one in types):
        raise TypeError(
            f"{name} must have rows of one length, got objects of type {listed}; use np.stack(list(values)) if "
            "all have the same length, or compute equally many features for each row"
        )
    if not all(issubclass(one, str | bool | np.bool_ | int) for one in types):
        raise TypeError(f"{name} must hold numbers or labels, got objects of type {listed}; take features of them")
    if len({str(value) for value in array.tolist()}) < len({_told(value) for value in array.tolist()}):
        raise TypeError(
            f"{name} must hold labels that differ as text, got objects of type {listed} of which some have the same "
            "text; convert them to one type"
        )
    return array.astype(str)


def _told(value: object) -> tuple[str, str]:
    """Return the kind and the text of a label; numpy's booleans, integers and strings count as Python's."""
    kinds = {np.bool_: "bool", np.str_: "str"}
    kind = "int" if isinstance(value, np.integer) else kinds.get(type(value), type(value).__name__)
    return kind, str(value)


def _numbered(array: np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    """Return a code for each label, (n,), float64, and the names of the codes."""
    levels, codes = np.unique(array, return_inverse=True)
    return torch.from_numpy(codes.reshape(-1).astype(np.float64)), tuple(str(level) for level in levels)


def _is_missing(value: object) -> bool:
    """Return whether a value is None, NaN or pandas' NA, whose comparisons are neither true nor false."""
    if value is None or type(value).__name__ == "NAType":
        return True
    if isinstance(value, Decimal):
        return value.is_nan()  # a signalling NaN cannot be compared
    differs = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)  # comparing an array gives an array


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
