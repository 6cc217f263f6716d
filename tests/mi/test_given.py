"""Conditional mutual information: what x says about y beyond a third variable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi
from infomax.mi.input.columns import Column
from infomax.mi.input.inputs import columns_of_given

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 600)
NOISE = RNG.normal(size=600)


def quick(x: object, y: object, steps: int = 0, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=steps, **options)  # type: ignore[arg-type]


class TestGiven:
    def test_gaussians(self) -> None:
        z, u, v, w = np.random.default_rng(4).normal(size=(4, 800))
        explained = quick(z + u, z + v, given=z)
        assert explained.nats < 0.03
        assert explained.low == 0.0
        assert quick(z + u, z + u + w, given=z).nats == pytest.approx(0.5 * math.log(2), abs=0.06)

    def test_xor(self) -> None:
        a, b = RNG.integers(0, 2, (2, 600))
        found = quick(a, a ^ b, given=b)
        assert found.nats == pytest.approx(math.log(2), abs=0.03)
        assert repr(found).startswith("conditional mutual information: 0.6")
        assert "1 x 1 coordinates given 1, " in repr(found)
        assert repr(quick(a, b)).startswith("mutual information")
        assert found.low < math.log(2) == pytest.approx(found.high)  # no wider than two labels allow
        assert found.score(a[:9], (a ^ b)[:9], given=b[:9]).tolist() == pytest.approx([math.log(2)] * 9, abs=0.1)

    def test_integers_are_the_same_labels_in_both_terms(self) -> None:
        """Regression: integers of ``given`` were read as numbers beside x.

        With 18 unordered classes, the estimate was 0.00 [0.00, 0.46] instead of 0.11.
        """
        rng = np.random.default_rng(2)
        z = rng.integers(0, 18, 1000)
        x = rng.normal(size=1000)
        y = rng.permutation(18)[z] + 0.5 * rng.normal(size=1000) + 0.25 * x
        found, named = quick(x, y, given=z), quick(x, y, given=z.astype(str))
        assert [place for place, _ in found.scorer.whole.encoders[0].levels] == [1]  # the labels of z, after x
        assert found.nats == pytest.approx(named.nats, abs=0.1)
        assert found.low < 0.5 * math.log(1 + 0.25**2 / 0.5**2) < found.high
        assert found.score(x[:5], y[:5], given=z[:5]).shape == (5,)

    def test_one_that_does_not_vary_is_refused_at_once(self) -> None:
        with pytest.raises(ValueError, match="given must vary, got the same row 600 times; leave it out"):
            quick(LABELS, NOISE, given=np.ones(600))

    def test_new_rows_need_what_the_estimate_had(self) -> None:
        with pytest.raises(TypeError, match="given must be passed, because the estimate was made with it, got None"):
            quick(LABELS, NOISE, given=NOISE[::-1].copy(), folds=2).score(LABELS[:5], NOISE[:5])
        with pytest.raises(TypeError, match="given must be None, as the estimate had none, got ndarray"):
            quick(LABELS, NOISE, folds=2).score(LABELS[:5], NOISE[:5], given=NOISE[:5])

    def test_a_difference_below_zero_has_an_interval_as_wide(self) -> None:
        """The closed forms do not find the dependence of y on the product of z beside the five columns of x.

        The interval was once [0.000, 0.000].
        """
        rng = np.random.default_rng(1)
        z, x = rng.normal(size=(300, 2)), rng.normal(size=(300, 5))
        y = z.prod(1) + 0.2 * rng.normal(size=300) + 0.15 * x[:, 0]
        found = quick(x, y, given=z)
        assert "but information is never negative" in str(found)
        assert found.low == 0.0
        assert found.high > 0.5 * math.log(1 + 0.15**2 / 0.2**2)

    def test_constant_coordinates_are_left_out(self) -> None:
        x = np.stack([NOISE, np.ones(600)], 1)[:100]
        assert quick(x, NOISE[100:200], given=NOISE[200:300], folds=2).dims == (1, 1)

    def test_what_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match="given must have as many rows as x and y, 600, got 10"):
            quick(LABELS, NOISE, given=NOISE[:10])
        with pytest.raises(ValueError, match="permutations must be None with given"):
            quick(LABELS, NOISE, given=NOISE, permutations=10)
        with pytest.raises(ValueError, match="given must have as many rows as x and y, 600, got 0"):
            quick(LABELS, NOISE, given=np.ones((600, 0)))

    def test_it_follows_x_to_its_device(self) -> None:
        """The meta device stands in for a GPU."""
        (column,) = columns_of_given(NOISE, [Column(torch.empty(600, device="meta"), labels=False)])
        assert column.values.device.type == "meta"


def test_it_is_at_most_what_the_labels_hold() -> None:
    """Regression: x is one bit, 0.693 nats, but the estimate was 1.01 nats with a lower end of 0.70."""
    generator = np.random.default_rng(0)
    x, z = generator.integers(2, size=2000), generator.normal(size=2000)
    y = z + 5 * x + 0.01 * generator.normal(size=2000)
    found = estimate_mi(x, y, given=z, random_state=0, max_steps=0)
    shares = np.bincount(x) / len(x)
    assert found.low <= found.nats <= -(shares * np.log(shares)).sum() + 1e-9
    assert found.nats > 0.6
