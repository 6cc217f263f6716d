"""Changes of the input that must not change a loss or an estimate, and the order of DV and NWJ."""

from __future__ import annotations

import math

import pytest
import strategies
import torch
from contracts.invariances import (
    check_constant_critic,
    check_shift_of_all,
    check_shift_of_one_global,
    value_and_gradients,
)
from contracts.layouts import LAYOUTS, features, randn, some_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor

from infomax import functional as F
from infomax.estimators import build_estimator

by_name = pytest.mark.parametrize("name", ORACLES)
SHIFT_FREE = [
    "dv",
    "jsd",
    "mine",
    "gan",
    "rkl",
    "infonce",
    "wasserstein",
    "club",
    "leave_one_out",
]  # a constant added to all scores does not change these estimates


@settings(max_examples=40, deadline=None)
@given(strategies.tables(), st.sampled_from(list(ORACLES)), st.randoms(use_true_random=False))
def test_order_of_examples_globals_and_locations(table: Tensor, name: str, random: object) -> None:
    n, q, _, p = table.shape
    draw = torch.Generator().manual_seed(random.randint(0, 2**31))  # type: ignore[attr-defined]
    examples, globals_, locations = (torch.randperm(size, generator=draw) for size in (n, q, p))
    shuffled = table[examples][:, globals_][:, :, examples][..., locations]
    estimator = build_estimator(name).double().eval()
    one, other = F.dense_scores(table), F.dense_scores(shuffled)
    assert_close(estimator(other), estimator(one), 1e-12, "loss")
    assert_close(estimator.mutual_information(other), estimator.mutual_information(one), 1e-12, "estimate")


def test_infonce_ignores_a_constant_on_one_global() -> None:
    check_shift_of_one_global(F.infonce_loss)
    check_shift_of_one_global(F.infonce_estimate)


def test_leave_one_out_ignores_a_constant_on_one_global() -> None:
    """CLUB ignores it too if all globals have the same number of pairs: the marginal density of a global cancels."""
    check_shift_of_one_global(F.leave_one_out_estimate)
    check_shift_of_one_global(F.club_estimate)


@pytest.mark.parametrize("name", ["infonce", "dv", "mine", "wasserstein"])
def test_losses_that_ignore_a_constant_on_all_scores(name: str) -> None:
    check_shift_of_all(build_estimator(name).double().eval())


@pytest.mark.parametrize("name", SHIFT_FREE)
def test_estimates_that_ignore_a_constant_on_all_scores(name: str) -> None:
    check_shift_of_all(build_estimator(name).double().mutual_information)


@by_name
def test_a_constant_critic_knows_nothing(name: str) -> None:
    estimate = build_estimator(name).double().mutual_information
    check_constant_critic(estimate, 1.0 if name in ("nwj", "kl") else 0.0)
    if name in SHIFT_FREE or name == "hellinger":
        for constant in (-3.0, 12.0):
            check_constant_critic(estimate, constant)


def test_losses_of_a_constant_critic_of_zero() -> None:
    scores = F.dense_scores(torch.zeros(3, 2, 3, 4, dtype=torch.float64))
    expected = {"infonce": math.log(9), "jsd": 2 * math.log(2), "gan": 2 * math.log(2), "smile": 2 * math.log(2)}
    expected |= {"tuba": 0, "alpha_tuba": 0, "wasserstein": 0, "club": 0, "leave_one_out": 0}
    expected |= {"dv": 0, "mine": 0, "hellinger": 0, "chi2": 0, "rkl": 0, "nwj": math.exp(-1), "kl": math.exp(-1)}
    expected |= {"logistic": 3 * math.log(2)}  # 24 joint pairs, 48 marginal pairs
    for name in ORACLES:
        assert_close(build_estimator(name).double()(scores), expected[name], 1e-12, name)


@settings(max_examples=60, deadline=None)
@given(strategies.tables())
def test_donsker_varadhan_is_never_below_nwj(table: Tensor) -> None:
    """log t <= t / e, with equality at t = e, so NWJ equals DV once the scores are shifted by the best constant."""
    dv, nwj = F.dv_estimate(F.dense_scores(table)), F.nwj_estimate(F.dense_scores(table))
    assert dv >= nwj - 1e-12 * abs(nwj)
    partition = F.dense_scores(table).reduce("logsumexp").joint.mean() - dv
    best = F.nwj_estimate(F.dense_scores(table - partition + 1))
    assert_close(best, dv, 1e-11, "NWJ of the best shift")


@by_name
def test_masked_locations_have_no_influence(name: str) -> None:
    """Masked locations may even hold NaN or infinity, and no gradient reaches them."""
    layout = LAYOUTS[6]
    local, global_ = (tensor.detach() for tensor in features(layout))
    mask = some_mask(layout)
    hidden = ~mask[:, None].expand_as(local)

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return build_estimator(name).double()(F.dot_scores(a, b, mask))

    value, by_local, by_global = value_and_gradients(loss, local, global_)
    assert not by_local[hidden].any()
    table, flat = torch.einsum("iqu,jpu->iqjp", global_.flatten(2).mT, local.flatten(2).mT), mask.flatten(1)
    for filling in (0.0, 1e4, math.inf, -math.inf, math.nan):
        other, other_local, other_global = value_and_gradients(loss, local.masked_fill(hidden, filling), global_)
        assert torch.equal(other, value)
        assert torch.equal(other_local, by_local)
        assert torch.equal(other_global, by_global)
        filled = table.masked_fill(~flat, filling)
        assert_close(build_estimator(name).double()(F.dense_scores(filled, flat)), value, 1e-12, "loss of a table")


@by_name
def test_padding_is_a_mask(name: str) -> None:
    estimator = build_estimator(name).double().eval()
    local, global_ = randn(4, 3, 5), randn(4, 3, seed=1)
    padded = torch.cat([local, 9.0 * randn(4, 3, 2, seed=2)], 2)
    mask = torch.arange(7).expand(4, 7) < 5
    short, long = F.dot_scores(local, global_), F.dot_scores(padded, global_, mask)
    assert_close(estimator(long), estimator(short), 1e-12, "loss")
    assert_close(estimator.mutual_information(long), estimator.mutual_information(short), 1e-12, "estimate")


@by_name
def test_a_mask_that_hides_nothing_changes_nothing(name: str) -> None:
    estimator = build_estimator(name).double().eval()
    local, global_ = features(LAYOUTS[6])
    whole = torch.ones(3, 2, 2, dtype=torch.bool)
    one, other = F.dot_scores(local, global_), F.dot_scores(local, global_, whole)
    assert_close(estimator(other), estimator(one), 1e-12)
