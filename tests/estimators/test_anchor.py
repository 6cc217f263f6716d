"""InfoNCE with an anchor, the extra class "none of them is joint": values, limits, optimum, and purpose."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import oracles
import pytest
import strategies
import torch
from contracts.layouts import FORMS, LAYOUTS
from contracts.values import check_estimate, check_loss_and_gradients, gaussian_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close
from torch import Tensor

from infomax import InfoNCE, LocalDIMLoss
from infomax import functional as F
from infomax.pairs.pairing import Pairing
from infomax.scores import StreamedScores

anchored = partial(F.infonce_loss, anchor=0.7)
loops = partial(oracles.infonce_anchor_loss, anchor=0.7)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_against_loops(layout: object) -> None:
    for form in FORMS:
        for masked in (False, True):
            check_loss_and_gradients(anchored, loops, layout, form, masked=masked, scale=0.7)
    check_estimate(F.plug_in_estimate, oracles.plug_in_estimate, layout, "streamed")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype: torch.dtype) -> None:
    check_loss_and_gradients(anchored, loops, LAYOUTS[3], "streamed", dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(strategies.tables())
def test_the_limit_of_a_small_anchor_is_infonce(table: Tensor) -> None:
    scores = F.dense_scores(table)
    assert_close(F.infonce_loss(scores, anchor=1e-13), F.infonce_loss(scores), 1e-9)


@settings(max_examples=40, deadline=None)
@given(strategies.tables(magnitude=5.0), st.floats(0.1, 3.0))
def test_with_one_negative_it_is_a_cross_entropy_and_a_logistic_term(table: Tensor, anchor: float) -> None:
    """With one negative, the loss is a cross-entropy of joint, negative and anchor plus a logistic term."""
    pair = F.dense_scores(table[:2, :1, :2, :1])
    joint, marginal = pair.reduce("logsumexp")
    constant = math.log(2 * anchor)
    some = torch.logaddexp(torch.logaddexp(joint, marginal), torch.full_like(joint, constant)) - joint
    none = torch.logaddexp(torch.zeros_like(joint), marginal + math.log(2) - constant)
    assert_close(F.infonce_loss(pair, anchor=anchor), (some + anchor * none).mean(), 1e-9)


def read(tables: list[np.ndarray], change: float = 0.0, slope: float = 1.0, anchor: float = 1.0) -> np.ndarray:
    loss = InfoNCE(anchor=anchor)
    return np.array([float(loss(F.dense_scores(torch.from_numpy(slope * table + change)))) for table in tables])


@pytest.mark.parametrize("anchor", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("change", "slope"), [(-0.3, 1.0), (0.3, 1.0), (0.0, 0.5), (0.0, 1.7)])
def test_the_log_density_ratio_itself_is_best(change: float, slope: float, anchor: float) -> None:
    """Other critics have a loss higher by 3 standard errors; without an anchor, a constant does not change the loss."""
    tables = gaussian_batches(0.6, 64, 40)
    more = read(tables, change, slope, anchor) - read(tables, anchor=anchor)
    assert np.mean(more) > 3 * float(np.std(more, ddof=1)) / len(more) ** 0.5
    if slope == 1.0:
        blind = [
            float(F.infonce_loss(F.dense_scores(torch.from_numpy(t + c)))) for t in tables[:1] for c in (0, change)
        ]
        assert blind[0] == pytest.approx(blind[1], abs=1e-9)


def test_the_constant_that_is_best_comes_near_zero_with_the_negatives() -> None:
    """The factor (1 + K) / K accounts for a missing candidate; without it, the optimum is off by about 1 / K."""
    shifts = np.linspace(-0.3, 0.3, 13)
    for negatives, within in ((3, 0.1), (15, 0.02)):
        ratios = np.stack(gaussian_batches(0.6, negatives + 1, 4000))
        values = {
            factor: [anchored_by_numpy(ratios + shift, factor) for shift in shifts]
            for factor in ((1 + negatives) / negatives, 1.0)
        }
        best, without = (vertex(shifts, curve) for curve in values.values())
        assert abs(best) < within
        assert abs(without) > 2 * abs(best)
    one = ratios[:1]
    assert_close(
        F.infonce_loss(F.dense_scores(torch.from_numpy(one[0])), anchor=1.0), anchored_by_numpy(one, 16 / 15), 1e-9
    )


def anchored_by_numpy(tables: np.ndarray, factor: float) -> float:
    """Return the mean loss of many tables at once, with an anchor of 1."""
    examples = tables.shape[1]
    powers = np.exp(tables)
    joint = powers[:, np.arange(examples), np.arange(examples)]
    marginal = powers.sum(2) - joint
    some = np.log(examples + joint + marginal) - np.log(joint)
    return float((some + np.log1p(factor * marginal / examples)).mean())


def vertex(shifts: np.ndarray, values: list[float]) -> float:
    second, first, _ = np.polyfit(shifts, values, 2)
    return float(-first / (2 * second))


def test_the_estimate_is_the_mean_joint_score_and_claims_no_bound() -> None:
    table = torch.randn(6, 6)
    module = InfoNCE(anchor=1.0)
    assert module.mutual_information(F.dense_scores(table)) == table.diagonal().mean()
    assert (module.bound, InfoNCE().bound) == ("none", "lower")
    assert module.ceiling(9) == math.inf
    assert repr(module) == "InfoNCE(anchor=1.0)"
    nats = [float(module.estimate(F.dense_scores(torch.from_numpy(t)))) for t in gaussian_batches(0.6, 64, 100)]
    truth = -0.5 * math.log(1 - 0.6**2)
    assert abs(np.mean(nats) - truth) < 4 * np.std(nats, ddof=1) / len(nats) ** 0.5


def test_constants_differ_between_globals_without_it_and_not_with_it() -> None:
    """A constant added to the scores of one global changes the loss with an anchor, but not plain InfoNCE."""
    table = torch.from_numpy(gaussian_batches(0.6, 64, 1)[0])
    shifted = table + 3.0 * (torch.arange(64)[:, None] == 5)
    assert F.infonce_loss(F.dense_scores(table)) == pytest.approx(F.infonce_loss(F.dense_scores(shifted)))
    assert anchored(F.dense_scores(shifted)) > anchored(F.dense_scores(table)) + 1e-3


def test_extremes() -> None:
    for size in (1e4, -1e4):
        table = torch.randn(4, 4).mul(size).requires_grad_()
        loss = anchored(F.dense_scores(table))
        assert loss.isfinite()
        assert torch.autograd.grad(loss, table)[0].isfinite().all()


def test_a_global_without_marginal_pairs_contributes_nothing() -> None:
    query, key = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    pairing = Pairing(2, 1, torch.arange(2), locations=1, marginal_rows=torch.arange(0))
    loss = anchored(StreamedScores(query, key, pairing))
    assert loss == 0
    assert torch.equal(torch.autograd.grad(loss, query)[0], torch.zeros(2, 3))


def test_in_a_loss_and_per_global() -> None:
    local, global_ = torch.randn(6, 5, 3), torch.randn(6, 4)
    loss_fn = LocalDIMLoss(local_dim=5, global_dim=4, units=8, estimator=InfoNCE(anchor=1.0))
    assert loss_fn(local, global_).isfinite()
    each = InfoNCE(anchor=0.7).per_global(loss_fn.critic(local, global_))
    assert_close(each.mean(), anchored(loss_fn.critic(local, global_)), 1e-5)


@pytest.mark.parametrize("anchor", [0, -1.0, math.inf, "1"])
def test_what_is_refused(anchor: object) -> None:
    with pytest.raises((ValueError, TypeError), match="anchor must be"):
        InfoNCE(anchor=anchor)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError), match="anchor must be"):
        F.infonce_loss(F.dense_scores(torch.zeros(3, 3)), anchor=anchor)  # type: ignore[arg-type]
