"""The neural dependency measure, compared with the closed form on data that its critic has not seen."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from infomax import functional as F
from infomax.evaluation import neural_dependency, shuffled_units
from infomax.evaluation.label_free import dependency

CORRELATION = torch.tensor([[1.0, 0.7, 0.3], [0.7, 1.0, 0.5], [0.3, 0.5, 1.0]])
TRUTH = -0.5 * torch.logdet(CORRELATION).item()  # nats
measure = partial(neural_dependency, hidden=(100,), epochs=30, batch_size=256, lr=3e-3)


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def gaussian(rows: int, correlation: Tensor = CORRELATION, start: int = 0) -> Tensor:
    """Return correlated units with different scales and offsets, which do not change the dependence."""
    rows_ = torch.randn(rows, len(correlation), generator=seed(start)) @ torch.linalg.cholesky(correlation).T
    return rows_ * torch.tensor([1.0, 100.0, 0.01]) + torch.tensor([0.0, -5.0, 3.0])


def test_gaussians_of_known_dependence() -> None:
    found = measure(gaussian(5000), gaussian(5000, start=1), random_state=0)
    assert abs(found.nats - TRUTH) < 0.06
    assert found.limit == math.log(5000)
    assert found.epochs >= 1


def test_independent_units_hold_nothing() -> None:
    found = measure(gaussian(3000, torch.eye(3)), gaussian(3000, torch.eye(3), start=1), random_state=0)
    assert abs(found.nats) < 0.02


def test_it_is_measured_on_the_test_rows_and_learnt_from_the_training_rows() -> None:
    dependent, independent = gaussian(3000), gaussian(3000, torch.eye(3), start=1)
    assert measure(dependent, independent, random_state=0).nats < 0.02
    assert measure(independent, dependent, random_state=0).nats < 0.05


def test_learning_by_heart_does_not_count() -> None:
    """With 64 rows of 40 independent units, a critic memorises the training rows, but the test rows show nothing."""
    train, test = torch.randn(64, 40, generator=seed(1)), torch.randn(1000, 40, generator=seed(2))
    assert measure(train, test, random_state=0, epochs=40, batch_size=32).nats < 0.05


def test_a_constant_unit_adds_nothing() -> None:
    train, test = (torch.cat([part, torch.full((len(part), 1), 7.0)], 1) for part in (gaussian(3000), gaussian(3000)))
    found = measure(train, test, random_state=0)
    assert abs(found.nats - TRUTH) < 0.08
    constant = torch.full((100, 3), 2.0)
    assert measure(constant, constant, random_state=0).nats == pytest.approx(0.0, abs=1e-6)


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    train, test = gaussian(400), gaussian(400, start=1)
    before = torch.get_rng_state()
    first = measure(train, test, random_state=5, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert measure(train, test, random_state=5, epochs=2) == first
    assert measure(train, test, random_state=6, epochs=2) != first


def test_shuffling_keeps_every_unit_and_breaks_what_ties_them() -> None:
    rows = gaussian(4000, start=11)
    shuffled = shuffled_units(rows)
    assert torch.equal(shuffled.sort(0).values, rows.sort(0).values)
    assert torch.corrcoef(rows.T)[0, 1] > 0.65
    assert torch.corrcoef(shuffled.T).fill_diagonal_(0).abs().max() < 4 / math.sqrt(4000)


def test_the_estimate_is_the_formula() -> None:
    rows = gaussian(50)
    scores = dependency._scores(lambda values: values.sum(1, keepdim=True), rows, shuffles=2)
    marginal = scores._marginal.flatten().double().numpy()
    expected = rows.sum(1).double().mean() - np.log(np.mean(np.exp(marginal - marginal.max()))) - marginal.max()
    assert marginal.shape == (100,)
    assert float(F.dv_estimate(scores)) == pytest.approx(float(expected), rel=1e-5)


class TestBadInput:
    @pytest.mark.parametrize(
        ("train", "test", "message"),
        [
            (torch.rand(9, 3), torch.rand(9, 2), r"same width, got \(9, 3\) and \(9, 2\)"),
            (torch.rand(9), torch.rand(9, 2), r"train_features must have shape \(N, D\) .*got \(9,\)"),
            (torch.rand(9, 3), torch.rand(3, 3), "test_features must hold at least 4 examples, got 3"),
            (torch.full((9, 3), math.nan), torch.rand(9, 3), "train_features must be finite"),
        ],
    )
    def test_features(self, train: Tensor, test: Tensor, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            neural_dependency(train, test)

    @pytest.mark.parametrize("option", ["epochs", "shuffles", "batch_size"])
    def test_options(self, option: str) -> None:
        with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
            neural_dependency(torch.rand(9, 3), torch.rand(9, 3), **{option: 0})


def test_autocast_around_it_has_no_effect() -> None:
    rows = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    rows[:, 1] += rows[:, 0]
    measure = partial(neural_dependency, rows[:400], rows[400:], hidden=(20,), epochs=8, batch_size=50, random_state=0)
    expected = measure()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure() == expected


def test_a_training_that_diverges_is_told() -> None:
    rows = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    rows[:, 1] += rows[:, 0]
    with pytest.raises(ValueError, match=r"the critic gives (nan|-?inf) nats after \d+ steps; .*lower lr"):
        neural_dependency(rows[:300], rows[300:], hidden=(20,), lr=1e20, epochs=8, batch_size=50, random_state=0)
