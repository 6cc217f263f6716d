"""Extreme scores, as an untrained network of 2048 units or a diverged network gives them."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from contracts.layouts import randn
from contracts.values import check_finite_at_extremes
from oracles import ORACLES
from tolerances import assert_close

from infomax import TUBA, ScoreRegularised
from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.scores import ClippedScores

MEASURES = ["kl", "rkl", "hellinger", "chi2", "gan"]


@pytest.mark.parametrize("name", ["infonce", "jsd", "dv", "smile", "gan", "wasserstein", "club", "leave_one_out"])
def test_finite_without_help(name: str) -> None:
    check_finite_at_extremes(build_estimator(name))
    check_finite_at_extremes(ORACLES_ESTIMATES[name])


ORACLES_ESTIMATES = {
    "infonce": F.infonce_estimate,
    "jsd": F.dv_estimate,
    "dv": F.dv_estimate,
    "gan": F.dv_estimate,
    "smile": F.smile_estimate,
    "wasserstein": F.wasserstein_dependency,
    "club": F.club_estimate,
    "leave_one_out": F.leave_one_out_estimate,
}


@pytest.mark.parametrize("name", ["tuba", "alpha_tuba"])
def test_a_baseline_that_takes_the_batch_in_keeps_up(name: str) -> None:
    check_finite_at_extremes(build_estimator(name))


def test_tuba_is_finite_with_clip_and_says_so_without() -> None:
    check_finite_at_extremes(ScoreRegularised(TUBA(baseline="learned"), weight=0.0, clip=20.0, soft=False))
    assert F.tuba_loss(F.dense_scores(torch.full((3, 3), 1e4))) == math.inf
    assert "overflow" in (F.tuba_loss.__doc__ or "")


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 1.0])
def test_a_part_of_the_batch_in_the_baseline_is_enough(alpha: float) -> None:
    check_finite_at_extremes(partial(F.alpha_tuba_loss, alpha=alpha))


def test_flo_is_finite_with_clip_and_says_so_without() -> None:
    check_finite_at_extremes(lambda scores: F.flo_loss(ClippedScores(scores, 20.0), torch.zeros_like(scores.joint())))
    against = F.dense_scores(1e4 * (1 - 2 * torch.eye(3)))
    assert F.flo_loss(against, torch.zeros(3)) == math.inf
    assert "overflow" in (F.flo_loss.__doc__ or "")


def test_score_regularised_estimators_are_finite() -> None:
    check_finite_at_extremes(ScoreRegularised("nwj", clip=20.0))


def test_mine_is_finite_from_the_first_batch_on() -> None:
    for size in (1e4, -1e4):
        mine = build_estimator("mine")
        for step in range(3):
            table = (size * step * torch.eye(4)).requires_grad_()
            loss = mine(F.dense_scores(table))
            (gradient,) = torch.autograd.grad(loss, table)
            assert loss.isfinite()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("measure", MEASURES)
def test_finite_with_clip(measure: str) -> None:
    for soft in (False, True):
        check_finite_at_extremes(ScoreRegularised(measure, weight=0.0, clip=20.0, soft=soft))


def test_nwj_overflows_without_a_clip_and_says_so() -> None:
    assert F.nwj_loss(F.dense_scores(torch.full((3, 3), 1e4))) == math.inf
    assert "overflow" in (F.nwj_loss.__doc__ or "")


def test_values_at_the_extremes() -> None:
    eye = torch.eye(4, dtype=torch.float32)
    for size in (1e4, 3e4):
        against = F.dense_scores(size * (1 - 2 * eye))  # joint -size, marginal +size
        assert_close(F.jsd_loss(against), 2 * size, 1e-6)
        assert_close(F.infonce_loss(against), 2 * size + math.log(3), 1e-6)
        assert_close(F.dv_loss(against), 2 * size, 1e-6)
        assert_close(F.smile_estimate(against), -size - 5, 1e-6)
        perfect = F.dense_scores(size * (2 * eye - 1))
        assert_close(F.jsd_loss(perfect), 0.0, 1e-6)
        assert_close(F.infonce_loss(perfect), 0.0, 1e-6)
        assert_close(F.dv_loss(perfect), -2 * size, 1e-6)
        assert_close(F.smile_estimate(perfect), size + 5, 1e-6)


def test_softplus_is_exact_far_out() -> None:
    """If softplus were linear beyond a threshold, the joint scores of a perfect critic would get no gradient."""
    for score in (25.0, 45.0, 80.0):
        table = torch.full((2, 2), -score).fill_diagonal_(score).requires_grad_()
        F.jsd_loss(F.dense_scores(table)).backward()
        assert table.grad is not None
        assert_close(math.exp(score) * table.grad.diagonal(), [-0.5, -0.5], 1e-5, f"gradient at {score}")


@pytest.mark.parametrize("name", ORACLES)
def test_two_examples_suffice(name: str) -> None:
    estimator = build_estimator(name)
    local, global_ = randn(2, 3, dtype=torch.float32).requires_grad_(), randn(2, 3, seed=1, dtype=torch.float32)
    scores = F.dot_scores(local, global_)
    estimator(scores).backward()
    assert estimator.mutual_information(scores).isfinite()
    assert local.grad is not None
    assert local.grad.isfinite().all()
    assert local.grad.any()
