"""A few integers that are read as numbers: the representation says how to read them as labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from infomax import estimate_mi

NOTE = "y has 10 different integers, read as numbers; if they are labels, pass discrete='y' or 'both'"


def notes(y: torch.Tensor, **options: Any) -> tuple[str, ...]:
    x = torch.randn(len(y), 1, generator=torch.Generator().manual_seed(0))
    estimate = estimate_mi(x, y, random_state=0, max_steps=0, **options)
    assert [line for line in repr(estimate).split("\n") if "NOTE" in line] == [f"  NOTE: {n}" for n in estimate.notes]
    return estimate.notes


def test_ten_integers_with_few_rows_each() -> None:
    assert notes(torch.arange(150) % 10) == (NOTE,)


def test_a_third_variable_changes_nothing() -> None:
    assert notes(torch.arange(150) % 10, given=torch.randn(150)) == (NOTE,)


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (torch.arange(150) % 10, {"discrete": "y"}),
        (torch.arange(400) % 10, {}),  # 40 rows per integer: labels and numbers
        (torch.arange(150) % 10 + 0.5, {}),
        (torch.arange(150) % 2, {}),
        (torch.arange(150), {}),
        (torch.stack([torch.arange(150) % 10, torch.arange(150)], 1), {}),
    ],
    ids=["labels", "many rows", "halves", "two values", "all different", "two columns"],
)
def test_no_note(y: torch.Tensor, options: dict[str, Any]) -> None:
    assert notes(y, **options) == ()
