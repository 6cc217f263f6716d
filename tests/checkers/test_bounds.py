"""The checkers reject a wrong clip, a wrong baseline, a bound on the wrong side, too steep a critic, and overflow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gaussians
import oracles
import pytest
import score_tables
from checkers.refusals import UNEQUAL, joint_and, refuses
from contracts import values
from contracts.layouts import FORMS
from estimators.baselines import of_global, of_owner
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import BilinearCritic, CosineCritic, DotCritic, LipschitzCritic, PairScores
from infomax import functional as F
from infomax.critics import LipschitzLinear
from infomax.pairs import Pairing
from infomax.scores import ClippedScores, TableScores


def cut_off(scores: PairScores) -> Tensor:
    return F.infonce_loss(ClippedScores(scores, 1.2))


def joint_scores_left_alone(scores: PairScores) -> Tensor:
    joint = scores.joint()
    marginal = ClippedScores(scores, 1.2, soft=True).reduce("logsumexp").marginal
    return nnf.softplus(scores.per_joint(marginal) - joint).mean()


def without_the_slope_of_the_bend(scores: PairScores) -> Tensor:
    assert isinstance(scores, TableScores)
    bent = 1.2 * (scores.table / 1.2).tanh()
    return F.infonce_loss(TableScores(bent.detach() + scores.table - scores.table.detach(), scores.pairing))


@pytest.mark.parametrize("wrong", [cut_off, joint_scores_left_alone, without_the_slope_of_the_bend])
def test_a_soft_clip_refuses(wrong: Callable[[PairScores], Tensor]) -> None:
    def oracle(pairs: score_tables.Pairs) -> complex:
        return oracles.infonce_loss(oracles.softly_clipped(pairs, 1.2))

    check = partial(values.check_loss_and_gradients, layout=UNEQUAL, form="table", masked=True)
    check(lambda scores: F.infonce_loss(ClippedScores(scores, 1.2, soft=True)), oracle)
    refuses(partial(check, wrong, oracle), "gradient" if wrong is without_the_slope_of_the_bend else "loss")


def tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.tuba_estimate(pairs, of_owner)


def alpha_tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.alpha_tuba_estimate(pairs, 0.3, of_owner)


def flo_oracle(pairs: score_tables.Pairs) -> complex:
    return oracles.flo_loss(pairs, lambda score: score)


def alpha_on_the_baseline(scores: PairScores) -> Tensor:
    return F.alpha_tuba_loss(scores, alpha=0.7, log_baseline=of_global(scores))


def mean_of_bounds(scores: PairScores) -> Tensor:
    """Interpolate between the two bounds instead of between their baselines."""
    return 0.3 * -F.infonce_estimate(scores) + 0.7 * F.tuba_loss(scores, log_baseline=of_global(scores))


def in_the_joint_term_alone(scores: PairScores) -> Tensor:
    return F.tuba_loss(scores) + scores.per_joint(of_global(scores)).mean()


def in_the_order_of_locals(scores: PairScores) -> Tensor:
    return F.tuba_loss(scores, log_baseline=of_global(scores).flip(0))


@pytest.mark.parametrize(
    ("wrong", "oracle"),
    [
        (lambda s: F.tuba_loss(s, log_baseline=-of_global(s)), tuba_oracle),
        (lambda s: F.tuba_loss(s, log_baseline=of_global(s)) + 1, tuba_oracle),  # without the constant 1
        (F.tuba_loss, tuba_oracle),
        (in_the_joint_term_alone, tuba_oracle),
        (in_the_order_of_locals, tuba_oracle),
        (alpha_on_the_baseline, alpha_tuba_oracle),
        (mean_of_bounds, alpha_tuba_oracle),
        (lambda s: F.flo_loss(s, -s.joint()), flo_oracle),
        (lambda s: F.flo_loss(s, s.joint().detach()), flo_oracle),
        (lambda s: -F.likelihood_loss(s), oracles.likelihood_loss),
        (lambda s: -F.wasserstein_loss(s), oracles.wasserstein_loss),
    ],
)
def test_losses_of_more_than_scores_refuse(
    wrong: Callable[[PairScores], Tensor], oracle: Callable[..., complex]
) -> None:
    for form in FORMS:
        refuses(partial(values.check_loss_and_gradients, wrong, oracle, UNEQUAL, form, masked=True))


def without_log_k(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return (joint - scores.per_joint(marginal)).mean()


def mean_of_all_pairs(scores: PairScores) -> Tensor:
    """Take the second mean over all pairs, including the joint pairs, as the authors' code does."""
    joint, total = joint_and(scores, "sum")
    return joint.mean() - (total.sum() + joint.sum()) / (scores.count().sum() + len(joint))


def test_upper_bounds_refuse() -> None:
    check = partial(values.check_estimate, layout=UNEQUAL, form="streamed", masked=True)
    for wrong, oracle in (
        (without_log_k, oracles.leave_one_out_estimate),
        (F.club_estimate, oracles.leave_one_out_estimate),
        (F.dv_estimate, oracles.leave_one_out_estimate),
        (F.leave_one_out_estimate, oracles.club_estimate),
        (mean_of_all_pairs, oracles.club_estimate),
    ):
        refuses(partial(check, wrong, oracle))


def test_sides_refuse() -> None:
    """A lower bound does not pass as an upper bound, nor an upper bound as a lower bound."""
    truth = gaussians.gaussian_information(0.7)
    check = partial(values.check_expectation, correlation=0.7, truth=truth)
    check(F.club_estimate, side="upper", tight=False)
    refuses(lambda: check(F.club_estimate, side="upper"), "misses")
    refuses(lambda: check(F.club_estimate, tight=False), "exceeds")
    refuses(lambda: check(lambda s: F.infonce_estimate(s) - 0.2, side="upper"), "falls short")


def test_lipschitz_refuses() -> None:
    values.check_lipschitz(LipschitzCritic(3, 5, units=8).double(), 3, 5)
    for wrong in (
        DotCritic(3, 5, units=8),
        CosineCritic(3, 5, units=8),
        BilinearCritic(3, 5, scale=0.1),  # Lipschitz in each argument only where the other argument is small
    ):
        refuses(partial(values.check_lipschitz, wrong.double(), 3, 5), "a score changes by")

    class Steeper(LipschitzCritic):
        def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
            return super().score_rows(1.5 * local, 1.5 * global_, pairing)

    steeper = Steeper(1, 1, units=1).double()
    for layer in steeper.modules():
        if isinstance(layer, LipschitzLinear):
            nn.init.ones_(layer.weight)
    refuses(lambda: values.check_lipschitz(steeper, 1, 1), "a score changes by")


def log_of_sigmoid(scores: PairScores) -> Tensor:
    joint, _ = joint_and(scores)
    return -joint.sigmoid().log().mean()


def naive_exponential(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return marginal.exp().sum().log() - joint.mean()


@pytest.mark.parametrize("wrong", [log_of_sigmoid, naive_exponential, F.nwj_loss])
def test_extremes_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    refuses(lambda: values.check_finite_at_extremes(wrong), r"loss is|gradient|isfinite")
