"""The tables of estimators on the documentation pages agree with the attributes of the classes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infomax import FLO, Estimator
from infomax.estimators import build_estimator
from infomax.estimators.build import names

ROOT = Path(__file__).resolve().parents[2]


def rows(page: str, first: str) -> list[list[str]]:
    """Return the cells of the table whose heading starts with ``first``, row by row."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def named(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def estimator_of(name: str) -> Estimator:
    return FLO() if name == "FLO" else build_estimator(name)


FACTS = [(name, row) for row in rows("docs/estimators.md", "name") for name in named(row[0])]


@pytest.mark.parametrize(("name", "row"), FACTS, ids=[name for name, _ in FACTS])
def test_bound_bias_and_variance(name: str, row: list[str]) -> None:
    _, _, bound, bias, variance, _ = row
    estimator = estimator_of(name)
    assert bound.split(",")[0] == estimator.bound
    assert bias == estimator.bias
    assert variance == estimator.variance


def test_no_estimator_is_left_out() -> None:
    found = [name for row in rows("docs/estimators.md", "name") for name in named(row[0])]
    assert sorted(found) == sorted({*names(), "FLO"})


@pytest.mark.parametrize("row", rows("README.md", "`estimator=`"), ids=lambda row: row[0])
def test_the_front_page_says_of_four_what_they_say_of_themselves(row: list[str]) -> None:
    (name,) = named(row[0])
    side = row[1].split(",")[0]
    said = {"lower bound": "lower", "lower bound in the limit of large batches": "asymptotic", "upper bound": "upper"}
    assert said[side] == estimator_of(name).bound


def test_the_page_is_read_at_all() -> None:
    assert len(FACTS) > 15
    with pytest.raises(StopIteration):
        rows("docs/estimators.md", "no such table")
