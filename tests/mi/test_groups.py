"""Groups of unequal sizes in blocks, folds and intervals, and equal rows that do not count as copies."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infomax import estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.folds import make_folds
from infomax.mi.input.groups import permuted_in_groups, read_repeats
from infomax.mi.input.sides import as_side
from infomax.mi.reading.held_out import _apart, interval_of

UNEQUAL = (40, 20, 13, 10, 8, 7, 6, 5, 4, 4, 4, 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=20), st.integers(2, 12), st.integers(0, 99))
def test_no_block_holds_two_rows_of_a_group(sizes: list[int], size: int, seed: int) -> None:
    groups = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    rows = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    blocks = _apart(rows, groups[rows], size)
    assert 2 <= blocks.shape[1] < 2 * size
    assert all(len(set(block)) == len(block) for block in groups[blocks].tolist())
    flat = blocks.flatten().tolist()
    assert len(set(flat)) == len(flat)
    others = len(rows) - max(sizes)
    # Fewer rows are left out than there are blocks. Of a group that is larger than all others together, only as many
    # rows are used as the others have.
    kept = min(len(rows), 2 * others)
    fewest = max(kept // size, min(max(sizes), others))
    assert len(blocks) == fewest
    assert kept - len(flat) == kept % fewest


def test_the_bound_of_unequal_groups() -> None:
    """Each group has a pair of normals with correlation 0.8, shared by its rows: I = 0.51 nats.

    Blocks that held rows of a single group once read 0.14.
    """
    sizes = np.array(UNEQUAL * 40)
    rng = np.random.default_rng(1)
    of_group = rng.normal(size=(2, len(sizes)))
    x = of_group[0].repeat(sizes) + 1e-3 * rng.normal(size=sizes.sum())
    y = (0.8 * of_group[0] + 0.6 * of_group[1]).repeat(sizes) + 1e-3 * rng.normal(size=sizes.sum())
    found = estimate_mi(x, y, groups=np.arange(len(sizes)).repeat(sizes), random_state=0, max_steps=0)
    assert found.bound > 0.3
    assert found.low < 0.511 < found.high


def test_large_groups_validate_too() -> None:
    groups = torch.arange(300).repeat_interleave(torch.arange(300) % 10 + 1)
    for fold in make_folds(len(groups), 5, torch.Generator().manual_seed(0), groups):
        for part in (fold.train, fold.validation):
            _, sizes = groups[part].unique(return_counts=True)
            assert set(sizes.tolist()) == set(range(1, 11))


def test_groups_change_places_with_those_of_their_size() -> None:
    """Regression: exchanges between groups of different sizes made p-values too small; 9 % of them were below 0.05."""
    sizes = torch.tensor([3, 1, 2, 3, 2, 5, 1, 1, 3])
    groups = torch.arange(len(sizes)).repeat_interleave(sizes)
    generator = torch.Generator().manual_seed(0)
    seen = [set() for _ in sizes]
    for _ in range(100):
        met = permuted_in_groups(groups, generator)
        assert sorted(met.tolist()) == list(range(len(groups)))
        for group in range(len(sizes)):
            (other,) = set(groups[met[groups == group]].tolist())
            assert met[groups == group].diff().eq(1).all()
            seen[group].add(other)
    assert [len(others) for others in seen] == [3, 3, 2, 3, 2, 1, 3, 3, 3]


def test_an_interval_counts_groups() -> None:
    """60 independent units cannot distinguish less than 2 z^2 / 60 nats from 0, however many rows each unit has."""
    x, y = np.random.default_rng(2).normal(size=(2, 60)).repeat(20, 1)
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.low == found.bound_low == 0.0
    assert min(found.high, found.bound_high) >= 2 * 1.96**2 / 60 - 1e-3


def test_a_function_of_labels_has_no_copies() -> None:
    """60 stores with five months each: the store determines the rent, so that I = log 60 = 4.1 nats."""
    store = np.arange(60).repeat(5)
    rent = np.random.default_rng(2).normal(size=60)[store]
    for label in (store.astype(str), np.eye(60)[store]):
        found = estimate_mi(label, rent, random_state=0, max_steps=0)
        assert found.nats > 0.7 * math.log(60) or found.doubts


def test_copies_are_those_of_all_three_sides() -> None:
    """Each row of labels and of a third variable occurs five times.

    Without groups, the estimate would count what a row says about its own copies.
    """
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 3, (2, 80)).repeat(5, 1)
    z = rng.normal(size=80).repeat(5)
    found = estimate_mi(x.astype(str), y.astype(str), given=z, random_state=0, max_steps=20)
    assert found.low == 0.0
    assert found.nats < 0.1


def test_rows_drawn_with_replacement_are_copies() -> None:
    """Regression: a row that occurs three times in a hundred was taken for a frequent value.

    Independent variables read 1.2 to 1.8 nats without a flag.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 100))[:, rng.integers(0, 100, 100)]
    groups = read_repeats(*(as_side(name, as_columns(name, side)) for name, side in (("x", x), ("y", y)))).groups
    assert groups is not None
    assert len(groups.unique()) == len(np.unique(x))
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.low == 0.0
    assert found.nats < 0.4


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.arange(600) % 30, np.arange(600) % 30),  # integers and a function of them
        (np.arange(600) % 10 / 8, np.arange(600) // 10 % 2 / 8),  # values that occur with several partners
        (np.maximum(np.arange(600) - 300, 0) / 7, np.maximum(np.arange(600) - 300, 0) / 9),  # half of both sides are 0
        (np.arange(600) % 12 / 7, np.arange(600) % 12 / 9),  # too few distinct rows for groups
    ],
)
def test_values_that_are_often_taken_are_no_copies(x: np.ndarray, y: np.ndarray) -> None:
    groups = read_repeats(*(as_side(name, as_columns(name, side)) for name, side in (("x", x), ("y", y)))).groups
    assert groups is None or len(groups.unique()) == 600


_CODES = np.random.default_rng(1).integers(0, 100, 2000)
_STEPS = np.random.default_rng(5).integers(0, 6, 100)
_GENES = np.random.default_rng(1).binomial(2, 0.5, (2000, 5))
_TABLE = np.random.default_rng(11).uniform(size=(3,) * 5) > 0.5


@pytest.mark.parametrize(
    ("x", "y", "nats"),
    [
        (_CODES, _CODES % 7, 1.945),
        (_CODES, np.array(list("ABCDEF"))[_STEPS[_CODES]], 1.73),
        (np.arange(2000) % 100, np.array(list("ABCDEF"))[_STEPS[np.arange(2000) % 100]], 1.73),
        (_CODES, _CODES // 2, 3.89),
        (10_001 + 370 * _CODES, _CODES // 10, 2.30),
        (_GENES, _TABLE[tuple(_GENES.T)], 0.69),
    ],
    ids=["remainder", "classes", "balanced", "halves", "sparse codes", "genes"],
)
def test_a_function_of_codes_has_no_copies(x: np.ndarray, y: np.ndarray, nats: float) -> None:
    """Codes repeat by chance. These read 0.0 nats, or a part of the truth, because whole codes were held out."""
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.nats == pytest.approx(nats, abs=0.1)
    assert any("agree by chance" in note for note in found.notes)


def test_integer_rows_that_are_written_five_times_are_copies() -> None:
    x, y = np.random.default_rng(0).integers(0, 1000, (2, 200)).repeat(5, 1)
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.low == 0.0
    (note,) = found.notes
    assert note == (
        "1000 of 1000 rows equal another row and were read as copies, which stay together; if they are independent, "
        "pass groups=range(n) with n rows"
    )
    assert "NOTE: 1000 of 1000 rows equal another row" in repr(found)


def test_groups_that_cannot_change_places_have_no_p_value() -> None:
    """Groups of 8, 9, ... 31 rows all differ in size, so no two can be exchanged.

    Every permutation was the original pairing, and p was 1.
    """
    sizes = np.arange(8, 32)
    x = np.random.default_rng(5).normal(size=sizes.sum())
    with pytest.raises(
        ValueError, match=r"permutations needs at least 20 ways to exchange groups .* got 1; use the interval"
    ):
        estimate_mi(x, x, groups=np.arange(24).repeat(sizes), permutations=99, random_state=0, max_steps=0)


def test_an_interval_has_no_more_degrees_of_freedom_than_groups() -> None:
    assert interval_of(1.0, 0.1, 300, 0.95, 10).high == pytest.approx(1 + 0.1 * 2.262, abs=1e-3)
    assert interval_of(1.0, 0.1, 10, 0.95, 300).high == pytest.approx(1 + 0.1 * 2.262, abs=1e-3)


@pytest.mark.parametrize("rename", [lambda g: g.astype(str), lambda g: -g, lambda g: 1000 + 7 * g])
def test_names_of_groups_do_not_matter(rename: Callable[[np.ndarray], np.ndarray]) -> None:
    """Names decided the folds, by their order: "10" comes before "2"."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 4
    x, y = rng.normal(size=(2, 120))
    one, other = (estimate_mi(x, y, groups=of, random_state=0, max_steps=0) for of in (groups, rename(groups)))
    assert one == other
    assert one.fold_nats == other.fold_nats
