"""TUBA and alpha-TUBA: a baseline for each global, the ends of the interpolation, the optimum of a learned baseline."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import oracles
import pytest
import score_tables
import strategies
import torch
from contracts.layouts import FORMS, LAYOUTS, features, randn, scores_in
from contracts.values import check_estimate, check_loss_and_gradients
from estimators.baselines import of_global, of_owner
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close
from torch import Tensor

from infomax import PairScores
from infomax import functional as F
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import ClippedScores

SEVERAL_GLOBALS = LAYOUTS[5]
by_form = pytest.mark.parametrize("form", FORMS)
by_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def tuba(scores: PairScores) -> Tensor:
    return F.tuba_loss(scores, log_baseline=of_global(scores))


def alpha_tuba(scores: PairScores) -> Tensor:
    return F.alpha_tuba_loss(scores, alpha=0.3, log_baseline=of_global(scores))


def tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.tuba_estimate(pairs, of_owner)


def alpha_tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.alpha_tuba_estimate(pairs, 0.3, of_owner)


@by_layout
@pytest.mark.parametrize(("ours", "loops"), [(tuba, tuba_oracle), (alpha_tuba, alpha_tuba_oracle)])
def test_a_baseline_for_each_global_against_loops(ours: Any, loops: Any, layout: Any) -> None:
    for form in FORMS:
        for masked in (False, True):
            check_loss_and_gradients(ours, loops, layout, form, masked=masked, scale=0.7)


@by_form
@pytest.mark.parametrize("clip", [0.5, 1.5])
def test_clipped(form: str, clip: float) -> None:
    check_estimate(
        lambda scores: F.tuba_estimate(ClippedScores(scores, clip)),
        partial(oracles.tuba_estimate, clip=clip),
        LAYOUTS[3],
        form,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(dtype: torch.dtype) -> None:
    for ours, loops in ((tuba, tuba_oracle), (alpha_tuba, alpha_tuba_oracle)):
        check_loss_and_gradients(ours, loops, SEVERAL_GLOBALS, "streamed", dtype=dtype)


@by_form
def test_gradient_of_the_baseline(form: str) -> None:
    local, global_ = (tensor.detach() for tensor in features(SEVERAL_GLOBALS))
    for value in (randn(6), randn(1), randn(1).squeeze()):
        for loss in (F.tuba_loss, partial(F.alpha_tuba_loss, alpha=0.3)):

            def of_baseline(log_a: Tensor, loss: Any = loss) -> Tensor:
                return loss(scores_in(form, local, global_), log_baseline=log_a)

            assert torch.autograd.gradcheck(of_baseline, value.clone().requires_grad_())


@settings(max_examples=40, deadline=None)
@given(strategies.tables(), st.floats(-3, 3))
def test_the_ends_are_tuba_and_infonce(table: Tensor, log_baseline: float) -> None:
    for table_ in (table, table.float()):
        results = []
        for alpha, expected in (
            (0.0, partial(F.tuba_estimate, log_baseline=log_baseline)),
            (1.0, F.infonce_estimate),
        ):
            for estimate in (partial(F.alpha_tuba_estimate, alpha=alpha, log_baseline=log_baseline), expected):
                leaf = table_.clone().requires_grad_()
                value = estimate(F.dense_scores(leaf))
                results.append((value.detach(), *torch.autograd.grad(value, leaf)))
        tolerance = 1e-11 if table_.dtype == torch.float64 else 1e-5
        for one, other in (results[:2], results[2:]):
            assert_close(one[0], other[0], tolerance * max(1.0, float(other[0].abs())), "estimate")
            assert_close(one[1], other[1], tolerance * max(1.0, float(other[1].abs().max())), "gradient")


@settings(max_examples=40, deadline=None)
@given(strategies.tables(), st.floats(-3, 3))
def test_no_baseline_passes_donsker_varadhan_and_the_partition_meets_it(table: Tensor, log_baseline: float) -> None:
    scores = F.dense_scores(table)
    dv = F.dv_estimate(scores)
    assert F.tuba_estimate(scores, log_baseline=log_baseline) <= dv + 1e-9
    partition = log_mean_exp_marginal(scores, scores.reduce("logsumexp").marginal)
    assert_close(F.tuba_estimate(scores, log_baseline=partition), dv, 1e-11)
    assert_close(F.tuba_estimate(scores, log_baseline=1.0), F.nwj_estimate(scores), 1e-11, "NWJ")


@settings(max_examples=40, deadline=None)
@given(strategies.tables(magnitude=30.0), st.floats(0.05, 1.0), st.floats(-3, 3))
def test_the_ceiling(table: Tensor, alpha: float, log_baseline: float) -> None:
    n, _, _, p = table.shape
    nats = F.alpha_tuba_estimate(F.dense_scores(table), alpha=alpha, log_baseline=log_baseline)
    # The estimate comes near the + 1 if every marginal score is far below its baseline.
    assert nats <= math.log((1 + (n - 1) * p) / alpha) + 1 + 1e-9


def test_a_learned_baseline_finds_the_partition() -> None:
    table = randn(6, 2, 6, 3)
    scores = F.dense_scores(table)
    log_a = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([log_a], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        F.tuba_loss(scores, log_baseline=log_a).backward()
        optimizer.step()
    expected = scores.reduce("logsumexp").marginal - math.log(15)
    assert_close(log_a, expected, 1e-3, "log a(y): the log of each global's own mean")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: F.tuba_loss(s, log_baseline="0"), TypeError, "log_baseline must be a number, got str"),
        (
            lambda s: F.tuba_loss(s, log_baseline=torch.zeros(4).long()),
            TypeError,
            "log_baseline must have a real float",
        ),
        (
            lambda s: F.tuba_estimate(s, log_baseline=torch.zeros(3)),
            ValueError,
            r"log_baseline must be one number or one for each of the 4 globals, \(4,\), got \(3,\)",
        ),
        (lambda s: F.alpha_tuba_loss(s, alpha=1.5), ValueError, r"alpha must be in \[0, 1\], .* got 1.5"),
        (lambda s: F.alpha_tuba_loss(s, alpha=math.nan), ValueError, "alpha must be finite, got nan"),
        (lambda s: F.alpha_tuba_estimate(s, alpha="1"), TypeError, "alpha must be a number, got str"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(F.dense_scores(torch.zeros(4, 4)))
