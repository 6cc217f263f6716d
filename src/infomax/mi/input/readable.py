"""Checks that values can be read as a table; an error names the argument and says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

import numpy as np
import torch
from torch import Tensor

from infomax._checks import check_dense, check_holds_values

__all__ = ["as_table", "check_readable"]

_SAME_NUMBER = "compute equally many features for each row"


def check_readable(name: str, values: object) -> None:
    """Raise if a sparse matrix or a tensor does not hold a dense table of values.

    Args:
        name: the argument, for messages.
        values: what a user gave.

    Raises:
        TypeError: a dict, set or iterator, a lazy frame, an index of several levels, a sparse matrix of scipy, or a
            sparse, nested or quantised tensor.
        ValueError: a tensor on the meta device.
    """
    if hasattr(values, "toarray") and hasattr(values, "nnz"):  # of scipy
        raise TypeError(f"{name} must be dense, got a sparse {type(values).__name__}; convert it with .toarray()")
    if type(values).__name__ == "LazyFrame":
        raise TypeError(f"{name} must hold its values, got a LazyFrame; call .collect() first")
    if getattr(values, "nlevels", 1) > 1:
        raise TypeError(f"{name} must have one value in each place, got a {type(values).__name__}; use .to_frame()")
    if isinstance(values, Mapping | AbstractSet | Iterator) and not hasattr(values, "columns"):
        raise TypeError(
            f"{name} must be a tensor, an array, a list of rows or a data frame, got a {type(values).__name__}; "
            "convert it with numpy.array(list(...)), or a dict of columns with pandas.DataFrame(...)"
        )
    if not isinstance(values, Tensor):
        return
    if values.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a nested tensor; {_SAME_NUMBER}, or pad the rows")
    check_dense(name, values)
    if values.is_quantized:
        raise TypeError(f"{name} must not be quantised, got {values.dtype}; convert it with .dequantize()")
    check_holds_values(**{name: values})


def as_table(name: str, values: object) -> np.ndarray | Tensor:
    """Return an array, or a tensor for a list of tensors; a list of mixed types becomes an array of objects.

    Args:
        name: the argument, for messages.
        values: an array, or a list of rows.

    Raises:
        ValueError: rows of different lengths.
    """
    if isinstance(values, list | tuple) and values and all(isinstance(row, Tensor) for row in values):
        for row in values:
            check_readable(name, row)
        if len({row.shape for row in values}) > 1:
            raise _ragged(name)
        return torch.stack([row.detach() for row in values])
    try:
        array = np.asarray(values)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise _ragged(name) from None
    if isinstance(values, np.ndarray):
        return array
    # numpy turns a list of numbers and strings into strings, and a list of integers of many sizes into floats.
    if array.dtype.kind in "US" or (array.dtype.kind == "f" and bool((np.abs(array) >= 2**53).any())):
        objects = np.array(values, dtype=object)
        if array.dtype.kind != "f" or any(_is_large_integer(value) for value in objects.flat):
            return objects
    return array


def _is_large_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and abs(int(value)) >= 2**53


def _ragged(name: str) -> ValueError:
    return ValueError(
        f"{name} must have rows of one length, got rows of different lengths; {_SAME_NUMBER}, or pad them"
    )
