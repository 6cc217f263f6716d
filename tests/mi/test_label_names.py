"""Labels have no order, so other names change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infomax import estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import as_side
from infomax.mi.reading.neighbours import find_neighbourhoods
from infomax.mi.reading.places import places

RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 25, 200)
Y = np.sin(LABEL) + 0.3 * RNG.normal(size=200)


def test_other_names_change_no_estimate() -> None:
    """Regression: if a label had fewer rows than neighbours, the next label in the alphabet counted as nearest."""
    found = []
    for seed in range(3):
        names = np.random.default_rng(seed).permutation(25).astype("U2")
        found.append(estimate_mi(names[LABEL], Y, random_state=0, max_steps=0, folds=2).nats)
    assert found == pytest.approx(found[:1] * 3, abs=1e-6)


def test_all_labels_are_as_far_from_each_other() -> None:
    """Six labels have two rows each.

    Of 5 neighbours, one shares the label, and the rows of all other labels are equally near.
    """
    label = torch.arange(6).repeat_interleave(2)
    side = as_side("x", as_columns("x", label.numpy().astype(str)))
    codes = places(side, torch.Generator())
    y = torch.zeros(12, 1) + torch.arange(12)[:, None] * 1e-3
    rows = torch.arange(12)
    (boxes,) = find_neighbourhoods(
        codes, y, rows, rows, (5,), torch.Generator().manual_seed(0), rows, torch.zeros(12, dtype=torch.float64)
    )
    # The box of every row holds all other rows.
    assert boxes.distinct.tolist() == [11 * 11] * 12
    assert boxes.terms.max() == boxes.terms.min()


def test_columns_of_many_labels_need_no_more_for_names_far_apart() -> None:
    near, far = (
        as_side("x", [column._replace(labels=True) for column in as_columns("x", step * LABEL)]) for step in (1, 10**12)
    )
    assert torch.equal(near.values, far.values)
    assert near.codes is not None
    assert torch.equal(near.codes, far.codes)
