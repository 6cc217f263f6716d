"""Every checker is fed known mistakes and must refuse them: no checker counts until it has rejected a wrong answer.

A wrong implementation here is one that somebody has shipped, or could: a flipped sign, a forgotten log K, a global's
own example among its negatives, a mean over the wrong set, a mask that multiplies, a discriminator that leaks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import contracts
import gaussians
import numpy as np
import oracles
import pytest
import score_tables
import torch
from contracts.layouts import LAYOUTS, randn
from tolerances import assert_close
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import (
    BilinearCritic,
    CosineCritic,
    DotCritic,
    Estimator,
    InfoNCE,
    LipschitzCritic,
    LocalDIMLoss,
    PairScores,
    PriorMatchingLoss,
)
from infomax import functional as F
from infomax.critics import Critic, LipschitzLinear, Projection
from infomax.pairs import Pairing, rows_of
from infomax.prior import PriorTerms
from infomax.scores import ClippedScores, StreamedScores, TableScores

UNEQUAL = LAYOUTS[5]  # several globals; with its mask, unequal numbers of locations


def refuses(check: Callable[[], None], message: str | None = None) -> None:
    with pytest.raises(AssertionError, match=message):
        check()


# --- wrong estimators -----------------------------------------------------------------------------------------------


def joint_and(scores: PairScores, reduction: str = "logsumexp") -> tuple[Tensor, Tensor]:
    return scores.reduce(reduction)  # type: ignore[arg-type, return-value]


def flipped(scores: PairScores) -> Tensor:
    return -F.infonce_loss(scores)


def with_its_own_example_among_the_negatives(scores: PairScores) -> Tensor:
    """The diagonal is not masked: the joint scores of a global are counted in its marginal sum too."""
    joint, marginal = joint_and(scores)
    pairing = scores.pairing
    own = torch.zeros_like(marginal).index_add(0, pairing.joint_query, joint.exp()).log()
    return nnf.softplus(scores.per_joint(torch.logaddexp(marginal, own)) - joint).mean()


def without_the_joint_score_in_the_denominator(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return (scores.per_joint(marginal) - joint).mean()


def masked_by_minus_ten(scores: PairScores) -> Tensor:
    """The authors' way: the own example stays, with a score of -10."""
    joint, marginal = joint_and(scores)
    minus_ten = torch.full_like(marginal, -10.0)
    return nnf.softplus(scores.per_joint(torch.logaddexp(marginal, minus_ten)) - joint).mean()


def mean_over_globals_first(scores: PairScores) -> Tensor:
    """A mean of means: right only where every global has equally many joint pairs."""
    joint, marginal = joint_and(scores)
    losses = nnf.softplus(scores.per_joint(marginal) - joint)
    owner = scores.pairing.joint_query
    per_global = torch.zeros_like(marginal).index_add(0, owner, losses)
    return (per_global / torch.bincount(owner, minlength=len(marginal)).clamp_min(1)).mean()


def detached_partition(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return nnf.softplus(scores.per_joint(marginal).detach() - joint).mean()


WRONG_INFONCE = [
    flipped,
    with_its_own_example_among_the_negatives,
    without_the_joint_score_in_the_denominator,
    masked_by_minus_ten,
    mean_over_globals_first,
    detached_partition,
]


@pytest.mark.parametrize("wrong", WRONG_INFONCE)
def test_loss_and_gradients_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    for form in contracts.FORMS:
        check = partial(contracts.check_loss_and_gradients, layout=UNEQUAL, form=form, masked=True)
        check(F.infonce_loss, oracles.infonce_loss)
        refuses(partial(check, wrong, oracles.infonce_loss), "gradient" if wrong is detached_partition else "loss")


def mean_over_all_pairs(scores: PairScores) -> Tensor:
    """Divides the marginal sum by N^2 P pairs instead of N (N - 1) P."""
    joint, marginal = joint_and(scores, "softplus")
    keys = scores.pairing.key_group.shape[0]
    return nnf.softplus(-joint).mean() + marginal.sum() / (len(marginal) * keys)


def mean_over_globals_of_means(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores, "softplus")
    return nnf.softplus(-joint).mean() + (marginal / scores.count()).mean()


def authors_jsd(scores: PairScores) -> Tensor:
    """Shifted by -2 log 2: a right gradient, a wrong value."""
    return F.jsd_loss(scores) - 2 * math.log(2)


def swapped_sides(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores, "softplus")
    return nnf.softplus(joint).mean() + marginal.sum() / scores.count().sum()


@pytest.mark.parametrize(
    "wrong", [mean_over_all_pairs, mean_over_globals_of_means, authors_jsd, swapped_sides], ids=lambda f: f.__name__
)
def test_jensen_shannon_refuses(wrong: Callable[[PairScores], Tensor]) -> None:
    check = partial(contracts.check_loss_and_gradients, layout=UNEQUAL, form="streamed", masked=True)
    check(F.jsd_loss, oracles.jsd_loss)
    refuses(partial(check, wrong, oracles.jsd_loss), "loss")


@pytest.mark.parametrize(
    ("wrong", "oracle"),
    [
        (lambda s: -F.nwj_loss(s), oracles.nwj_loss),
        (lambda s: F.nwj_loss(s) * math.e, oracles.nwj_loss),  # e^T for e^(T - 1)
        (lambda s: F.dv_loss(s) + s.count().sum().log(), oracles.dv_loss),  # a sum for a mean
        (lambda s: F.fdivergence_loss(s, "rkl") + 1, oracles.rkl_loss),  # E[T] for E[T - 1]
        (lambda s: F.fdivergence_loss(s, "hellinger") / 2, oracles.hellinger_loss),
        (lambda s: 2 * F.fdivergence_loss(s, "chi2"), oracles.chi2_loss),
        (lambda s: F.jsd_loss(ClippedScores(s, 0.5)), oracles.jsd_loss),  # clipped where nobody asked
        (lambda s: F.jsd_loss(s).float(), oracles.jsd_loss),  # a lower precision than its input's
        (lambda s: F.jsd_loss(s).expand(2), oracles.jsd_loss),
    ],
)
def test_other_losses_refuse(wrong: Callable[[PairScores], Tensor], oracle: Callable[..., complex]) -> None:
    refuses(partial(contracts.check_loss_and_gradients, wrong, oracle, UNEQUAL, "table", masked=True))


def forgotten_log_k(scores: PairScores) -> Tensor:
    return -F.infonce_loss(scores)


def log_k_of_a_full_batch(scores: PairScores) -> Tensor:
    """log(1 + N P): counts the own example's, and the masked."""
    return math.log(1 + scores.pairing.key_group.shape[0]) - F.infonce_loss(scores)


def log_k_without_the_joint_pair(scores: PairScores) -> Tensor:
    return scores.per_joint(scores.count().double().log()).mean() - F.infonce_loss(scores)


@pytest.mark.parametrize("wrong", [forgotten_log_k, log_k_of_a_full_batch, log_k_without_the_joint_pair])
def test_estimates_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    contracts.check_estimate(F.infonce_estimate, oracles.infonce_estimate, UNEQUAL, "streamed", masked=True)
    refuses(lambda: contracts.check_estimate(wrong, oracles.infonce_estimate, UNEQUAL, "streamed", masked=True))
    refuses(lambda: contracts.check_constant_critic(wrong), "constant critic")
    refuses(lambda: contracts.check_ceiling(wrong))


def test_shifts_refuse() -> None:
    refuses(lambda: contracts.check_shift_of_one_global(F.dv_loss), "shifted")
    refuses(lambda: contracts.check_shift_of_all(F.nwj_loss))
    refuses(lambda: contracts.check_shift_of_all(masked_by_minus_ten))
    refuses(lambda: contracts.check_constant_critic(F.nwj_estimate), "constant critic")


def test_expectations_refuse() -> None:
    truth = gaussians.gaussian_information(0.7)
    check = partial(contracts.check_expectation, correlation=0.7, truth=truth)
    check(F.dv_estimate)
    refuses(lambda: check(lambda s: F.dv_estimate(s) + 0.1), "exceeds")
    refuses(lambda: check(lambda s: F.dv_estimate(s) - 0.1), "misses")
    refuses(lambda: check(F.nwj_estimate), "misses")  # without its + 1 the critic is not the optimal one
    refuses(lambda: check(lambda s: -F.jsd_loss(s)), "misses")
    refuses(lambda: check(lambda s: F.dv_estimate(s) * (1 + 5 * torch.randn(()))), "too noisy")
    refuses(lambda: check(F.dv_estimate, truth=gaussians.gaussian_information(0.6)), "exceeds")


# --- wrong soft clips -----------------------------------------------------------------------------------------------


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

    check = partial(contracts.check_loss_and_gradients, layout=UNEQUAL, form="table", masked=True)
    check(lambda scores: F.infonce_loss(ClippedScores(scores, 1.2, soft=True)), oracle)
    refuses(partial(check, wrong, oracle), "gradient" if wrong is without_the_slope_of_the_bend else "loss")


# --- wrong baselines, wrong sides -----------------------------------------------------------------------------------


def of_owner(owner: tuple[int, int]) -> float:
    return 0.4 * owner[0] - 0.3 * owner[1]


def baseline(scores: PairScores) -> Tensor:
    pairing = scores.pairing
    owners = [(i, q) for i in range(pairing.examples) for q in range(pairing.globals_)]
    return torch.tensor([of_owner(owner) for owner in owners], dtype=torch.float64)


def tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.tuba_estimate(pairs, of_owner)


def alpha_tuba_oracle(pairs: score_tables.Pairs) -> complex:
    return -oracles.alpha_tuba_estimate(pairs, 0.3, of_owner)


def flo_oracle(pairs: score_tables.Pairs) -> complex:
    return oracles.flo_loss(pairs, lambda score: score)


def alpha_on_the_baseline(scores: PairScores) -> Tensor:
    return F.alpha_tuba_loss(scores, alpha=0.7, log_baseline=baseline(scores))


def mean_of_bounds(scores: PairScores) -> Tensor:
    """The bounds mixed, instead of their baselines."""
    return 0.3 * -F.infonce_estimate(scores) + 0.7 * F.tuba_loss(scores, log_baseline=baseline(scores))


def in_the_joint_term_alone(scores: PairScores) -> Tensor:
    return F.tuba_loss(scores) + scores.per_joint(baseline(scores)).mean()


def in_the_order_of_locals(scores: PairScores) -> Tensor:
    return F.tuba_loss(scores, log_baseline=baseline(scores).flip(0))


@pytest.mark.parametrize(
    ("wrong", "oracle"),
    [
        (lambda s: F.tuba_loss(s, log_baseline=-baseline(s)), tuba_oracle),
        (lambda s: F.tuba_loss(s, log_baseline=baseline(s)) + 1, tuba_oracle),  # without its 1
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
    for form in contracts.FORMS:
        refuses(partial(contracts.check_loss_and_gradients, wrong, oracle, UNEQUAL, form, masked=True))


def without_log_k(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return (joint - scores.per_joint(marginal)).mean()


def mean_of_all_pairs(scores: PairScores) -> Tensor:
    """The authors' code: the mean over all pairs, the joint ones among them."""
    joint, total = joint_and(scores, "sum")
    return joint.mean() - (total.sum() + joint.sum()) / (scores.count().sum() + len(joint))


def test_upper_bounds_refuse() -> None:
    check = partial(contracts.check_estimate, layout=UNEQUAL, form="streamed", masked=True)
    for wrong, oracle in (
        (without_log_k, oracles.leave_one_out_estimate),
        (F.club_estimate, oracles.leave_one_out_estimate),
        (F.dv_estimate, oracles.leave_one_out_estimate),
        (F.leave_one_out_estimate, oracles.club_estimate),
        (mean_of_all_pairs, oracles.club_estimate),
    ):
        refuses(partial(check, wrong, oracle))


def test_sides_refuse() -> None:
    """A lower bound is no upper one, nor the other way round."""
    truth = gaussians.gaussian_information(0.7)
    check = partial(contracts.check_expectation, correlation=0.7, truth=truth)
    check(F.club_estimate, side="upper", tight=False)
    refuses(lambda: check(F.club_estimate, side="upper"), "misses")
    refuses(lambda: check(F.club_estimate, tight=False), "exceeds")
    refuses(lambda: check(lambda s: F.infonce_estimate(s) - 0.2, side="upper"), "falls short")


def test_lipschitz_refuses() -> None:
    contracts.check_lipschitz(LipschitzCritic(3, 5, units=8).double(), 3, 5)
    for wrong in (
        DotCritic(3, 5, units=8),
        CosineCritic(3, 5, units=8),
        BilinearCritic(3, 5, scale=0.1),  # Lipschitz in either side where the other is small, and nowhere else
    ):
        refuses(partial(contracts.check_lipschitz, wrong.double(), 3, 5), "a score changes by")

    class Steeper(LipschitzCritic):
        def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
            return super().score_rows(1.5 * local, 1.5 * global_, pairing)

    steeper = Steeper(1, 1, units=1).double()
    for layer in steeper.modules():
        if isinstance(layer, LipschitzLinear):
            nn.init.ones_(layer.weight)
    refuses(lambda: contracts.check_lipschitz(steeper, 1, 1), "a score changes by")


# --- wrong numerics -------------------------------------------------------------------------------------------------


def log_of_sigmoid(scores: PairScores) -> Tensor:
    joint, _ = joint_and(scores)
    return -joint.sigmoid().log().mean()


def naive_exponential(scores: PairScores) -> Tensor:
    joint, marginal = joint_and(scores)
    return marginal.exp().sum().log() - joint.mean()


@pytest.mark.parametrize("wrong", [log_of_sigmoid, naive_exponential, F.nwj_loss])
def test_extremes_refuse(wrong: Callable[[PairScores], Tensor]) -> None:
    refuses(lambda: contracts.check_finite_at_extremes(wrong), r"loss is|gradient|isfinite")


def test_tolerances_refuse() -> None:
    assert_close(torch.ones(3), torch.ones(3), 0.0)
    refuses(lambda: assert_close(torch.tensor([1.0, math.nan]), torch.ones(2), 1e9), "off by")
    refuses(lambda: assert_close(torch.tensor(math.inf), torch.tensor(math.inf), 1e9))
    refuses(lambda: assert_close(1.0 + 1e-9, 1.0, 1e-10))
    refuses(lambda: assert_close(torch.ones(3), torch.ones(1), 1.0), "shape")


def test_loops_are_not_circular() -> None:
    """A few values by hand, so that the loops themselves are held to something."""
    table = np.log(np.array([[4.0, 1.0], [3.0, 2.0]]))[:, None, :, None]
    pairs = score_tables.pairs_of(table)
    assert [math.exp(score.real) for score, _ in pairs.joint] == pytest.approx([4, 2])
    assert {owner: math.exp(scores[0].real) for owner, scores in pairs.marginal.items()} == {
        (0, 0): pytest.approx(1),
        (1, 0): pytest.approx(3),
    }
    assert oracles.infonce_loss(pairs).real == pytest.approx((math.log(5 / 4) + math.log(5 / 2)) / 2)
    assert oracles.infonce_estimate(pairs).real == pytest.approx(math.log(2) - math.log(12.5 / 4) / 2)
    assert oracles.dv_estimate(pairs).real == pytest.approx(math.log(8) / 2 - math.log(2))
    assert oracles.jsd_loss(pairs).real == pytest.approx(math.log(5 / 4 * 3 / 2) / 2 + math.log(2 * 4) / 2)
    assert oracles.nwj_estimate(pairs).real == pytest.approx(math.log(8) / 2 - 2 / math.e)
    assert oracles.rkl_loss(pairs).real == pytest.approx(3 / 8 + math.log(3) / 2 - 1)
    assert oracles.hellinger_loss(pairs).real == pytest.approx(3 / 8 - 1 + 2 - 1)
    assert oracles.chi2_loss(pairs).real == pytest.approx(math.log(3) ** 2 / 8 + math.log(3) / 2 - math.log(8) / 2)
    assert oracles.tuba_estimate(pairs).real == pytest.approx(1 + math.log(8) / 2 - 2)
    assert oracles.tuba_estimate(pairs, lambda owner: math.log(2)).real == pytest.approx(math.log(2) / 2)
    alpha = (math.log(4 / (1.25 + 0.5)) + math.log(2 / (1.25 + 0.5))) / 2 - (1 / (0.5 + 0.5) + 3 / (1.5 + 0.5)) / 2
    assert oracles.alpha_tuba_estimate(pairs).real == pytest.approx(1 + alpha)
    assert oracles.flo_loss(pairs, lambda t: 0j).real == pytest.approx((1 / 4 + 3 / 2) / 2 - 1)
    assert oracles.club_estimate(pairs).real == pytest.approx((math.log(8) - math.log(3)) / 2)
    assert oracles.leave_one_out_estimate(pairs).real == pytest.approx((math.log(4) + math.log(2 / 3)) / 2)
    assert oracles.likelihood_loss(pairs).real == pytest.approx(-math.log(8) / 2)
    assert oracles.smile_estimate(pairs, 0.5).real == pytest.approx(math.log(8) / 2 - math.log((1 + math.e**0.5) / 2))
    value, gradient = score_tables.value_and_gradient(oracles.dv_loss, table)
    assert value == pytest.approx(-oracles.dv_estimate(pairs).real)
    assert gradient[:, 0, :, 0] == pytest.approx(np.array([[-0.5, 0.25], [0.75, -0.5]]))


# --- wrong state ----------------------------------------------------------------------------------------------------


class Forgetful(Estimator):
    """Keeps what it computed for an estimate, without the graph, for the loss."""

    kept: Tensor | None = None

    def forward(self, scores: PairScores) -> Tensor:
        return F.infonce_loss(scores) if self.kept is None else self.kept

    def estimate(self, scores: PairScores) -> Tensor:
        self.kept = F.infonce_loss(scores)
        return -self.kept


def test_estimate_first_refuses() -> None:
    contracts.check_estimate_first(InfoNCE())
    refuses(lambda: contracts.check_estimate_first(Forgetful()), "after an estimate")


class Recording(LocalDIMLoss):
    """Measures as it trains: batch norm's statistics move."""

    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            return self.estimator.mutual_information(self.scores(local, global_, mask))


class Trainable(LocalDIMLoss):
    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        self.eval()
        nats = F.infonce_estimate(self.scores(local, global_, mask))
        self.train()
        return nats


def test_measuring_refuses() -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    contracts.check_measures_without_trace(LocalDIMLoss(3, 2, units=4).double(), local, global_)
    refuses(
        lambda: contracts.check_measures_without_trace(Recording(3, 2, units=4).double(), local, global_), "has changed"
    )
    refuses(lambda: contracts.check_measures_without_trace(Trainable(3, 2, units=4).double(), local, global_))


class Unregistered(LocalDIMLoss):
    """An average that is no buffer: copies by state dict lose it."""

    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        self.seen = getattr(self, "seen", 0) + 1
        return super().forward(*args, **keywords) * self.seen


def test_copies_refuse() -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    contracts.check_copies(lambda: LocalDIMLoss(3, 2, units=4).double(), local, global_)
    refuses(lambda: contracts.check_copies(lambda: Unregistered(3, 2, units=4).double(), local, global_))


# --- wrong masks ----------------------------------------------------------------------------------------------------


class Careless(nn.Module):
    """A local loss that keeps all rows, and does something about the mask afterwards."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.projection = Projection(3, 4)
        self.other = Projection(2, 4)
        self.double()

    def forward(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        n, p = local.shape[0], local.flatten(2).shape[2]
        present = torch.ones(n, p, dtype=torch.bool) if mask is None else mask.flatten(1)
        rows = rows_of(local)
        if self.how == "multiplied":
            rows = rows * present[..., None]
        if self.how == "batch norm":  # zeros, cleanly; but the statistics are of zeros too
            rows = rows.masked_fill(~present[..., None], 0.0)
        projected = self.projection(rows.reshape(n * p, -1))
        query = self.other(global_)
        if self.how in ("multiplied", "batch norm", "after"):
            keep = present.flatten()
            pairing = Pairing(n, 1, present.nonzero()[:, 0])
            return F.infonce_loss(StreamedScores(query, projected[keep], pairing))
        assert self.how == "large negative"
        table = (query @ projected.T).masked_fill(~present.flatten(), -1e4)
        return F.infonce_loss(TableScores(table, Pairing(n, 1, torch.arange(n).repeat_interleave(p), locations=p)))


@pytest.mark.parametrize("how", ["multiplied", "batch norm", "after", "large negative"])
def test_masks_refuse(how: str) -> None:
    local, global_ = randn(4, 3, 5), randn(4, 2)
    mask = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[:, 0] = True
    checks = {
        "absence": lambda make: contracts.check_mask_is_absence(make, local, global_, mask),
        "padding": lambda make: contracts.check_padding_is_mask(make, local, global_),
    }
    for name, check in checks.items():
        torch.manual_seed(0)
        check(partial(honest, 3, 2))
        if not (how == "batch norm" and name == "absence"):  # zeros are the same zeros whatever was there
            refuses(partial(check, partial(Careless, how)))


def honest(local_dim: int, global_dim: int) -> LocalDIMLoss:
    torch.manual_seed(0)
    return LocalDIMLoss(local_dim, global_dim, units=4).double()


# --- wrong order ----------------------------------------------------------------------------------------------------


def by_position(local: Tensor, global_: Tensor) -> Tensor:
    weights = torch.arange(1.0, local.shape[0] + 1, dtype=torch.float64)
    return (weights * F.dot_scores(local, global_).reduce("logsumexp").marginal).sum()


def first_location(local: Tensor, global_: Tensor) -> Tensor:
    return F.infonce_loss(F.dot_scores(local.flatten(2)[:, :, :1], global_))


def test_permutations_refuse() -> None:
    local, global_ = randn(4, 2, 5), randn(4, 2)
    contracts.check_permutations(lambda a, b: F.infonce_loss(F.dot_scores(a, b)), local, global_)
    refuses(lambda: contracts.check_permutations(by_position, local, global_), "examples")
    refuses(lambda: contracts.check_permutations(first_location, local, global_), "locations")


# --- wrong games ----------------------------------------------------------------------------------------------------


class Leaky(PriorMatchingLoss):
    """The usual mistakes with a min-max."""

    def __init__(self, how: str) -> None:
        super().__init__(4)
        self.how = how

    def terms(self, y: Tensor, *, generator: torch.Generator | None = None) -> PriorTerms:
        y = y.sigmoid()
        real = torch.rand(y.shape, generator=generator)
        data = y if self.how == "D's loss trains the encoder" else y.detach()
        judge = self.discriminator
        on_data, on_prior = judge(data), judge(real)
        discriminator = nnf.softplus(-on_prior).mean() + nnf.softplus(on_data).mean()
        if self.how == "the encoder's loss trains D":
            return PriorTerms(nnf.softplus(-judge(y)).mean(), discriminator)
        frozen = {name: value.detach() for name, value in judge.named_parameters()}
        judged = torch.func.functional_call(judge, frozen, (y.detach() if self.how == "nobody trains it" else y,))
        return PriorTerms(nnf.softplus(-judged).mean(), discriminator)

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        terms = self.terms(y, generator=generator)
        if self.how == "one loss, minus the other":
            return terms.discriminator - terms.encoder
        return terms.encoder + terms.discriminator


@pytest.mark.parametrize(
    "how",
    [
        "D's loss trains the encoder",
        "the encoder's loss trains D",
        "nobody trains it",
        "one loss, minus the other",
    ],
)
def test_games_refuse(how: str) -> None:
    contracts.check_players_apart(Leaky("not at all"))
    refuses(lambda: contracts.check_players_apart(Leaky(how)))


# --- wrong training, memory, ranks ----------------------------------------------------------------------------------


class Ascent(LocalDIMLoss):
    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        return -super().forward(*args, **keywords)


class Deaf(LocalDIMLoss):
    """Its critic hears nothing of the features."""

    def forward(self, local: Tensor, global_: Tensor, *rest: Any, **keywords: Any) -> Tensor:
        return super().forward(0 * local, 0 * global_, *rest, **keywords)


class Poisoned(LocalDIMLoss):
    def forward(self, *args: Any, **keywords: Any) -> Tensor:
        return super().forward(*args, **keywords) * math.nan


@pytest.mark.parametrize("wrong", [Ascent, Deaf, Poisoned])
def test_overfitting_refuses(wrong: type[LocalDIMLoss]) -> None:
    encoder, images = nn.Linear(4, 8), torch.randn(6, 4)

    def forward(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = net(x)
        return y.view(6, 4, 2), y[:, :4]

    check = partial(contracts.check_overfits, forward=forward, encoder=encoder, images=images, steps=30)
    refuses(lambda: check(wrong(4, 4, critic="bilinear")), "information went|loss is nan")
    check(LocalDIMLoss(4, 4, critic="bilinear"), steps=60, lr=2e-2)


def test_memory_refuses() -> None:
    """The textbook InfoNCE: a row of logits for every location of every global."""
    n, p = 4, 16
    local, global_ = randn(n, 3, p).requires_grad_(), randn(n, 3).requires_grad_()

    def textbook() -> Tensor:
        rows, queries = local.transpose(1, 2).reshape(n * p, 3), global_.repeat_interleave(p, 0)
        logits = queries @ rows.T
        own = torch.arange(n * p)[:, None] // p == torch.arange(n * p) // p
        others = logits.masked_fill(own, -math.inf)
        joint = logits.diagonal()
        return nnf.softplus(others.logsumexp(1) - joint).mean()

    assert_close(textbook(), F.infonce_loss(F.dot_scores(local, global_)), 1e-12, "the same loss")
    refuses(lambda: contracts.check_no_table_larger_than(2 * n * n * p, textbook), "numbers")
    contracts.check_no_table_larger_than(2 * n * n * p, lambda: F.infonce_loss(F.dot_scores(local, global_)))


def halves() -> Iterator[tuple[Tensor, Tensor]]:
    local, global_ = randn(6, 3, 2), randn(6, 3, seed=1)
    yield local, global_
    yield local[:3], global_[:3]
    yield local[3:], global_[3:]


def test_split_batches_refuse() -> None:
    """Processes that keep to their own negatives have other losses, and other gradients."""

    def outcome(local: Tensor, global_: Tensor, factor: float = 1.0) -> dict[str, Tensor]:
        loss = lambda a, b: F.infonce_loss(F.dot_scores(a, b))  # noqa: E731
        value, by_local, by_global = contracts.value_and_gradients(loss, local, global_)
        return {"loss": value, "local": factor * by_local, "global_": factor * by_global}

    whole, first, second = (outcome(*half) for half in halves())
    refuses(lambda: contracts.check_split_batch(whole, [first, second]), "loss")
    # The right loss, and gradients that stop at the process's border.
    stopped = [{**first, "loss": whole["loss"]}, {**second, "loss": whole["loss"]}]
    refuses(lambda: contracts.check_split_batch(whole, stopped), "gradient")
    # What passes: the whole loss everywhere, and gradients as many times too large as there are processes.
    parts = [
        {"loss": whole["loss"], "local": 2 * whole["local"][part], "global_": 2 * whole["global_"][part]}
        for part in (slice(0, 3), slice(3, 6))
    ]
    contracts.check_split_batch(whole, parts)


class Shuffled(Critic):
    """Pairs the right rows wrongly: globals of several an example in another order than their joint pairs."""

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        return StreamedScores(global_.roll(1, 0), local, pairing)


def test_layouts_refuse() -> None:
    """Rows that are out of step show in every layout with more than one global."""
    critic = Shuffled(2, 2)

    def loss(scores: StreamedScores) -> Tensor:
        return F.infonce_loss(critic.score_rows(scores.key, scores.query, scores.pairing))

    refuses(
        lambda: contracts.check_loss_and_gradients(loss, oracles.infonce_loss, UNEQUAL, "streamed")  # type: ignore[arg-type]
    )
