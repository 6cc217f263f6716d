"""FLO, a bound with a second function u of each joint pair, and the estimates that it equals for particular u."""

from __future__ import annotations

from typing import Any

import oracles
import pytest
import score_tables
import torch
from contracts.layouts import FORMS, LAYOUTS, features, randn, scores_in, some_mask
from contracts.values import check_loss_and_gradients
from tolerances import assert_close
from torch import Tensor

from infomax import FLO, BilinearCritic, LocalDIMLoss, PairScores
from infomax import functional as F

SEVERAL_GLOBALS = LAYOUTS[5]


def of_score(score: Any) -> Any:
    return 0.3 * score - 0.2


def flo(scores: PairScores) -> Tensor:
    return F.flo_loss(scores, of_score(scores.joint()))


def flo_oracle(pairs: score_tables.Pairs) -> complex:
    return oracles.flo_loss(pairs, of_score)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_against_loops(layout: Any) -> None:
    for form in FORMS:
        for masked in (False, True):
            check_loss_and_gradients(flo, flo_oracle, layout, form, masked=masked, scale=0.7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_the_scores_of_a_second_critic(form: str, masked: bool) -> None:
    """Given the scores of a second critic, FLO takes their joint scores, in the order of the first critic's."""
    local, global_ = features(SEVERAL_GLOBALS)
    mask = some_mask(SEVERAL_GLOBALS) if masked else None
    scores, second = (scores_in(form, local, global_, mask, scale) for scale in (0.7, -0.2))
    found = F.flo_loss(scores, second)
    assert_close(found, F.flo_loss(scores, -0.2 / 0.7 * scores.joint()), 1e-12)
    assert all(grad.any() for grad in torch.autograd.grad(found, (local, global_)))


@pytest.mark.parametrize("form", FORMS)
def test_joint_scores_alone_are_those_of_a_reduction(form: str) -> None:
    for layout in LAYOUTS:
        mask = some_mask(layout)
        joint = scores_in(form, *features(layout), mask).joint()
        for reduction in ("logsumexp", "softplus", "sum", "square_sum"):
            assert_close(scores_in(form, *features(layout), mask).reduce(reduction).joint, joint, 1e-12)


def test_what_it_is_for_particular_u() -> None:
    scores = F.dense_scores(randn(5, 2, 5, 3))
    joint, marginal = scores.reduce("logsumexp")
    log_mean = scores.per_joint(marginal - scores.count().double().log())
    assert_close(F.flo_estimate(scores, log_mean - joint), F.leave_one_out_estimate(scores), 1e-12, "the batch's best")
    for log_a in (0.0, 0.8):
        assert_close(F.flo_estimate(scores, log_a - joint), F.tuba_estimate(scores, log_baseline=log_a), 1e-12, "TUBA")


def test_the_module_trains_both_critics() -> None:
    critic, second = BilinearCritic(3, 2), BilinearCritic(3, 2)
    local, global_ = randn(6, 3, 2, dtype=torch.float32), randn(6, 2, dtype=torch.float32)
    optimizer = torch.optim.Adam([*critic.parameters(), *second.parameters()], lr=5e-2)
    estimator, found = FLO(), []
    for _ in range(60):
        scores, u = critic(local, global_), second(local, global_)
        loss = estimator(scores, u)
        found.append(estimator.mutual_information(scores, u))
        assert_close(found[-1], -loss.detach(), 1e-6)
        assert not found[-1].requires_grad
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found[-1] > found[0] + 0.3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: FLO()(s), TypeError, "u must be given together with scores.*second critic"),
        (lambda s: FLO().mutual_information(s), TypeError, "u must be given together with scores"),
        (lambda s: F.flo_loss(s, None), TypeError, "u must be a torch.Tensor, got NoneType"),
        (lambda s: F.flo_loss(s, torch.zeros(3)), ValueError, r"each of the 4 joint pairs, \(4,\), got \(3,\)"),
        (
            lambda s: LocalDIMLoss(3, 2, estimator=FLO(), critic="bilinear"),
            TypeError,
            r"estimator must read the scores of one critic, got FLO.*FLO\(\)\(critic\(local, global_\), second_critic",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(F.dense_scores(torch.zeros(4, 4)))
