"""Units far from 1: scaling a coordinate changes nothing, up to the limits of float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi
from infomax.mi.closed_forms.marginals import Standardised

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2))
Y = X[:, :1] + RNG.normal(size=(120, 1))
SCALES = [2.0**1020, 2.0**664, 2.0**515, 2.0**-515, 2.0**-664, 2.0**-996]  # powers of two, so that scaling is exact


def quick(x: object, y: object, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=5, folds=2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("preprocess", ["ranks", "standardise"])
def test_units_change_nothing(scale: float, preprocess: str) -> None:
    expected = quick(X, Y, preprocess=preprocess)
    assert expected.nats > 0.1
    found = quick(X * scale, Y, preprocess=preprocess)
    assert (found.nats, found.bound) == pytest.approx((expected.nats, expected.bound), abs=1e-6)
    both = quick(X * [scale, 1.0], Y * scale, preprocess=preprocess)
    assert both.nats == pytest.approx(expected.nats, abs=1e-6)
    torch.testing.assert_close(found.score(X * scale, Y), expected.score(X, Y), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [2.0**1010, 1e200, 1e155, 1e-155, 1e-200, 1e-300, 2.0**-1074])
def test_standardised_rows_have_no_unit(scale: float) -> None:
    rows = torch.from_numpy((1000 * X).round())  # few digits, because subnormal numbers hold only a few
    expected = Standardised(rows).scores(rows)
    torch.testing.assert_close(Standardised(rows * scale).scores(rows * scale), expected)


def test_the_ends_of_the_range() -> None:
    top = torch.finfo(torch.float64).max
    rows = torch.tensor([[-top], [top], [0.0]], dtype=torch.float64)
    expected = torch.tensor([[-1.0], [1.0], [0.0]], dtype=torch.float64) * math.sqrt(1.5)
    torch.testing.assert_close(Standardised(rows).scores(rows), expected)


def test_new_rows_far_beyond_those_seen_are_finite() -> None:
    rows = torch.tensor([[0.0], [1e-300], [2e-300]], dtype=torch.float64)
    found = Standardised(rows).scores(torch.tensor([[1e300], [-1e300]], dtype=torch.float64))
    assert found.float().square().isfinite().all()
    assert found[0] > 1e6
    assert found[1] < -1e6


def test_one_row_far_from_all_others() -> None:
    x = X.copy()
    x[7] = 1e300
    found = quick(x, Y, preprocess="standardise")
    assert all(map(math.isfinite, [found.nats, found.low, found.high, *found.fold_nats, *found.pointwise.tolist()]))


def test_a_coordinate_that_is_constant_in_the_training_rows() -> None:
    """Because of rounding, the mean of equal numbers can differ from them, and the computed variance is then not 0."""
    rows = torch.full((49, 1), 0.1, dtype=torch.float64)
    assert Standardised(rows).scores(rows).abs().max() < 1e-9
    assert Standardised(rows).scores(rows + 1).abs().max() < 100
