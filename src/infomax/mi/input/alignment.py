"""A check that the rows of pandas objects are in the same order."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

__all__ = ["check_alignment"]


def check_alignment(**values: object) -> None:
    """Raise where two pandas objects have the same index labels in different orders; rows are paired by position.

    Args:
        values: the arguments by name; those without an index of pandas are left alone.

    Raises:
        ValueError: an index holds the labels of another one, each as often, in another order.
    """
    indices = [(name, _index_of(value)) for name, value in values.items()]
    known = [(name, index) for name, index in indices if index is not None]
    for (first, index), (name, other) in combinations(known, 2):
        if len(index) == len(other) and not index.equals(other) and Counter(index) == Counter(other):
            raise ValueError(
                f"{name} must have its rows in the order of {first}, as rows are paired by position, got the same "
                f"index labels in another order; pass {name}.loc[{first}.index], or both with "
                ".reset_index(drop=True) if the positions are right"
            )


def _index_of(value: object) -> Any:
    """Return the index of a series or data frame of pandas; None for other objects, such as lists with a method."""
    index = getattr(value, "index", None)
    return index if hasattr(value, "iloc") and hasattr(index, "equals") else None
