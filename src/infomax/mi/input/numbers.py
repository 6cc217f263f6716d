"""Numbers of any type as float64, and the integers that float64 cannot represent."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

__all__ = ["are_numbers", "as_numbers", "large_integers"]

_LARGEST = 2**53  # float64 represents every integer below this in magnitude
_NUMBERS = int | float | np.integer | np.floating | Decimal | Fraction


def are_numbers(array: np.ndarray) -> bool:
    """Return whether all objects (n,) are numbers: Python's, numpy's, ``Decimal`` or ``Fraction``, but not booleans.

    Example:
        >>> are_numbers(np.array([1, Decimal("2.5")], dtype=object)), are_numbers(np.array([1, True], dtype=object))
        (True, False)
    """
    return all(isinstance(value, _NUMBERS) and not isinstance(value, bool) for value in array.tolist())


def as_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """Return numbers as float64, in a new array.

    Args:
        name: the argument, for the message.
        array: (n,) or (n, d), with a dtype of numbers; or (n,), objects that are numbers.

    Raises:
        ValueError: a finite number beyond the range of float64.
    """
    if array.dtype.kind != "O":
        with np.errstate(over="ignore"):
            numbers = np.array(array, dtype=np.float64)
        beyond = np.isfinite(array) & ~np.isfinite(numbers)
    else:
        numbers = np.array([_as_float(value) for value in array.tolist()], dtype=np.float64)
        beyond = np.array([_is_finite(value) for value in array.tolist()], dtype=bool) & ~np.isfinite(numbers)
    if beyond.any():
        raise ValueError(
            f"{name} must be finite as float64, got numbers beyond 1.8e308 in {int(beyond.sum())} of {len(beyond)} "
            "rows; scale numbers down, and pass identifiers as strings"
        )
    return numbers


def large_integers(array: np.ndarray) -> np.ndarray | None:
    """Return integers (n,) or (n, d) if all numbers are integers and float64 may not represent some, else None.

    Example:
        >>> large_integers(np.array([1, 2])), large_integers(np.array([1, 2**53 + 1]))
        (None, array([               1, 9007199254740993]))
    """
    if array.dtype.kind in "iu":
        return array if bool(((array >= _LARGEST) | (array <= -_LARGEST)).any()) else None
    if array.dtype.kind != "O":
        return None
    values = array.tolist()
    if any(isinstance(value, float | np.floating) or not _is_whole(value) for value in values):
        return None
    integers = np.array([int(value) for value in values] + [None], dtype=object)[:-1]  # None keeps Python's integers
    return integers if any(abs(value) >= _LARGEST for value in integers) else None


def _is_whole(value: int | Decimal | Fraction) -> bool:
    return value == (value.to_integral_value() if isinstance(value, Decimal) else int(value))


def _as_float(value: float | Decimal | Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_finite(value: float | Decimal | Fraction) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    return bool(np.isfinite(value)) if isinstance(value, float | np.floating) else True
