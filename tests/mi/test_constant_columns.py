"""`mutual_info` is 0 for constant columns, but only if all other arguments are valid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from infomax.mi import mutual_info

CONSTANT = np.ones((60, 2))
Y = np.random.default_rng(0).normal(size=60)


def test_they_tell_nothing() -> None:
    assert mutual_info(CONSTANT, Y).tolist() == [0.0, 0.0]
    assert mutual_info(torch.ones(60, 2), torch.from_numpy(Y), groups=np.arange(60) // 2).tolist() == [0.0, 0.0]
    assert mutual_info([["a", 1.0]] * 60, Y).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: mutual_info(CONSTANT, Y[:59]), ValueError, "X and y must have the same number of rows"),
        (lambda: mutual_info(CONSTANT[:20], Y[:20]), ValueError, "X must have at least 50 rows"),
        (lambda: mutual_info(CONSTANT, np.where(Y > 1, np.nan, Y)), ValueError, "y must be finite"),
        (lambda: mutual_info(CONSTANT, np.ones(60)), ValueError, "y must vary"),
        (lambda: mutual_info(CONSTANT, None), TypeError, "y must be given together with X"),
        (lambda: mutual_info(CONSTANT, [{}] * 60), TypeError, "y must hold numbers or labels"),
        (lambda: mutual_info(CONSTANT, Y.reshape(60, 1, 1)), ValueError, "y must have shape"),
        (lambda: mutual_info(CONSTANT, Y, discrete="z"), ValueError, "discrete must be one of"),
        (lambda: mutual_info(CONSTANT, Y, groups=np.arange(59)), ValueError, "groups must name the group"),
        (
            lambda: mutual_info(CONSTANT, Y, groups=np.arange(60) % 3),
            ValueError,
            "groups must hold at least two groups",
        ),
        (lambda: mutual_info(CONSTANT, Y, max_steps=-1), ValueError, "max_steps must be"),
        (lambda: mutual_info(np.ones((60, 0)), Y), ValueError, "X must have at least one column, got none"),
    ],
)
def test_what_cannot_be_measured_is_refused(make: Callable[[], object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_columns_are_named_as_those_of_x() -> None:
    """Errors name the argument of `mutual_info` and the column in it."""
    names = np.array([f"n{i}" for i in range(400)])
    y = np.random.default_rng(1).normal(size=400)
    with pytest.raises(ValueError, match=r"^X\[:, 1\] must have at most 300 labels in a column, got 400"):
        mutual_info(np.stack([np.ones(400).astype(str), names], 1), y)
