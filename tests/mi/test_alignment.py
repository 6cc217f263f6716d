"""Rows of pandas objects are paired by position; indices that say otherwise are refused."""

from __future__ import annotations

import numpy as np
import pytest

from infomax import estimate_mi
from infomax.mi import mutual_info

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
X = pd.Series(RNG.normal(size=80))
Y = X + 0.3 * pd.Series(RNG.normal(size=80))
SHUFFLED = Y.sample(frac=1, random_state=0)
MESSAGE = r"y must have its rows in the order of {}, .* pass y\.loc\[{}\.index\]"


def test_the_same_labels_in_another_order_are_refused():
    with pytest.raises(ValueError, match=MESSAGE.format("x", "x")):
        estimate_mi(X, SHUFFLED, max_steps=0)
    with pytest.raises(ValueError, match=MESSAGE.format("X", "X")):
        mutual_info(X.to_frame(), SHUFFLED)
    with pytest.raises(ValueError, match="given must have its rows in the order of x"):
        estimate_mi(X, Y, given=SHUFFLED, max_steps=0)
    with pytest.raises(ValueError, match="groups must have its rows in the order of x"):
        estimate_mi(X, Y, groups=SHUFFLED.round(), max_steps=0)
    with pytest.raises(ValueError, match=MESSAGE.format("x", "x")):
        estimate_mi(X, Y, max_steps=0, random_state=0).score(X, SHUFFLED)


def test_a_group_between_arrays_is_compared_too():
    with pytest.raises(ValueError, match="groups must have its rows in the order of x"):
        estimate_mi(X, Y.to_numpy(), groups=SHUFFLED.round(), max_steps=0)


def test_batches_are_compared_too():
    with pytest.raises(ValueError, match=MESSAGE.format("x", "x")):
        estimate_mi([(X, SHUFFLED)], max_steps=0)


def test_repeated_labels_are_compared_as_often_as_they_occur():
    twice = np.repeat(np.arange(40), 2)
    estimate_mi(X.set_axis(twice), Y.set_axis(twice), max_steps=0)
    with pytest.raises(ValueError, match="in another order"):
        estimate_mi(X.set_axis(twice), Y.set_axis(twice[::-1]), max_steps=0)


@pytest.mark.parametrize(
    "y",
    [SHUFFLED.loc[X.index], SHUFFLED.reset_index(drop=True), SHUFFLED.set_axis(range(100, 180)), SHUFFLED.to_numpy()],
    ids=["aligned", "without index", "other labels", "array"],
)
def test_others_are_paired_by_position(y):
    found = estimate_mi(X, y, max_steps=0, random_state=0)
    assert found.nats == estimate_mi(X.to_numpy(), np.asarray(y), max_steps=0, random_state=0).nats


def test_lists_have_a_method_of_that_name():
    assert estimate_mi(X.tolist(), Y.tolist(), max_steps=0, random_state=0).nats > 0.5
