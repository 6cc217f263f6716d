"""Gaussians of known information, scored by the optimal critic: nothing is trained, only theory is held to its word.

Means over independent batches, against 4 standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from contracts import check_ceiling, check_expectation, gaussian_batches
from oracles import (
    gaussian_chi2,
    gaussian_hellinger,
    gaussian_information,
    gaussian_log_ratio,
    gaussian_reverse_kl,
)
from torch import Tensor

from infomax import PairScores
from infomax import functional as F
from infomax.estimators import build_estimator

Critic = Callable[[np.ndarray], np.ndarray]
# Each estimator's own optimal critic, from the log density ratio.
OPTIMAL: dict[str, Critic] = {
    "infonce": lambda ratio: ratio,
    "dv": lambda ratio: ratio,
    "mine": lambda ratio: ratio,
    "jsd": lambda ratio: ratio,
    "smile": lambda ratio: ratio,
    "gan": lambda ratio: ratio,
    "rkl": lambda ratio: ratio,
    "nwj": lambda ratio: ratio + 1,
    "kl": lambda ratio: ratio + 1,
    "hellinger": lambda ratio: ratio / 2,
}


def quadrature(function: Callable[[np.ndarray], np.ndarray], correlation: float) -> tuple[float, float]:
    """Mean over the joint distribution, and over the product of marginals, of a function of the log density ratio."""
    grid = np.linspace(-9, 9, 901)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    product = density[:, None] * density[None, :]
    ratio = gaussian_log_ratio(grid[:, None], grid[:, None], correlation)
    return float((product * np.exp(ratio) * function(ratio)).sum()), float((product * function(ratio)).sum())


def test_the_closed_forms_agree_with_quadrature() -> None:
    for correlation in (0.3, 0.6):
        assert quadrature(lambda t: t, correlation)[0] == pytest.approx(gaussian_information(correlation))
        assert -quadrature(lambda t: t, correlation)[1] == pytest.approx(gaussian_reverse_kl(correlation))
        assert quadrature(np.exp, correlation)[0] - 1 == pytest.approx(gaussian_chi2(correlation))
        root = quadrature(lambda t: np.exp(t / 2), correlation)[1]
        assert 2 - 2 * root == pytest.approx(gaussian_hellinger(correlation))


@pytest.mark.parametrize("correlation", [0.4, 0.7])
@pytest.mark.parametrize("name", OPTIMAL)
def test_estimates_meet_the_truth(name: str, correlation: float) -> None:
    truth = gaussian_information(correlation)
    # InfoNCE with K negatives lies below by about the chi-squared divergence over 2 K.
    below = 2 * gaussian_chi2(correlation) / 63 if name == "infonce" else 0.0
    check_expectation(
        build_estimator(name).mutual_information,
        correlation=correlation,
        truth=truth,
        critic=OPTIMAL[name],
        below=below,
    )


def disturbed(ratio: np.ndarray, shift: float) -> np.ndarray:
    return 0.6 * ratio + shift + 0.2 * np.sin(5 * ratio)


@pytest.mark.parametrize("name", [name for name in OPTIMAL if build_estimator(name).bound == "lower"])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_lower_bounds_stay_below_for_another_critic(name: str, shift: float) -> None:
    estimate, truth = build_estimator(name).mutual_information, gaussian_information(0.7)
    check_expectation(estimate, correlation=0.7, truth=truth, critic=partial(disturbed, shift=shift), tight=False)


@pytest.mark.parametrize("name", [name for name in OPTIMAL if build_estimator(name).bound == "lower"])
def test_independent_variables_have_none(name: str) -> None:
    """Whatever the critic says of them, the bound is at most 0; and 0 where it says nothing."""
    random = np.random.default_rng(0)
    shift = 1.0 if name in ("nwj", "kl") else 0.0
    found = []
    for _ in range(100):
        x, y = random.normal(size=(2, 64))
        found.append(float(build_estimator(name).mutual_information(scores_of(0.4 * y[:, None] * x[None] + shift))))
    mean, deviation = float(np.mean(found)), 4 * float(np.std(found, ddof=1)) / len(found) ** 0.5
    assert mean <= deviation
    assert mean > -0.5, "far from about 0"


def scores_of(table: np.ndarray) -> PairScores:
    return F.dense_scores(torch.from_numpy(table))


def test_infonce_never_exceeds_its_ceiling() -> None:
    check_ceiling(F.infonce_estimate)


def test_infonce_stays_below_large_information() -> None:
    """Eight examples cannot tell more than log 8 of the two nats that are there."""
    correlation = 0.99
    truth = gaussian_information(correlation)
    assert truth > 1.9
    check_expectation(
        F.infonce_estimate, correlation=correlation, truth=min(truth, math.log(8)), examples=8, tight=False
    )


def negative(loss: Callable[[PairScores], Tensor]) -> Callable[[PairScores], Tensor]:
    return lambda scores: -loss(scores)


@pytest.mark.parametrize(
    ("measure", "critic", "divergence"),
    [
        ("kl", lambda ratio: 1 + ratio, gaussian_information),
        ("rkl", lambda ratio: ratio, gaussian_reverse_kl),
        ("hellinger", lambda ratio: ratio / 2, gaussian_hellinger),
        ("chi2", lambda ratio: 2 * (np.exp(ratio) - 1), gaussian_chi2),
    ],
)
@pytest.mark.parametrize("correlation", [0.2, 0.4])
def test_losses_at_the_optimum_are_minus_the_divergence(
    measure: str, critic: Critic, divergence: Callable[[float], float], correlation: float
) -> None:
    loss = negative(partial(F.fdivergence_loss, measure=measure))
    truth = divergence(correlation)
    check_expectation(loss, correlation=correlation, truth=truth, critic=critic)
    # ... and any other critic gives less: this is what makes the critic above the optimum.
    for other in (lambda ratio: 0.7 * critic(ratio) + 0.3, lambda ratio: 1.2 * critic(ratio) - 0.1):
        check_expectation(loss, correlation=correlation, truth=truth, critic=other, tight=False)


def test_jensen_shannon_at_its_optimum() -> None:
    """2 log 2 less twice the Jensen-Shannon divergence, by quadrature."""
    joint, _ = quadrature(lambda t: np.logaddexp(0, -t), 0.7)
    _, marginal = quadrature(lambda t: np.logaddexp(0, t), 0.7)
    check_expectation(lambda s: 10 - F.jsd_loss(s), correlation=0.7, truth=10 - joint - marginal)
    assert joint + marginal < 2 * math.log(2)


def test_chi2_reads_the_order_two_renyi_information() -> None:
    truth = math.log1p(gaussian_chi2(0.4))
    assert truth > gaussian_information(0.4)
    found = [
        float(F.fdivergence_estimate(scores_of(2 * (np.exp(table) - 1)), "chi2"))
        for table in gaussian_batches(0.4, 128, 100)
    ]
    assert np.mean(found) == pytest.approx(truth, abs=0.05)
