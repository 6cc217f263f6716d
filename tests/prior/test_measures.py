"""Measures other than the paper's, and gradient penalties: bounds on divergences, and gradients of both players."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.modules import check_players_apart
from tolerances import assert_close
from torch import Tensor, nn

from infomax import DIMLoss, PriorMatchingLoss
from infomax import functional as F
from infomax.prior.discriminator import slope_penalty
from infomax.prior.measures import MEASURES, discriminator_loss, encoder_loss

DIVERGENCES = [measure for measure in MEASURES if measure != "wasserstein"]

# Two distributions on three outcomes in units of 1/120, the ratio of their probabilities, and their mean.
P, Q = [60, 40, 20], [20, 40, 60]
RATIO = torch.tensor([3.0, 1.0, 1 / 3], dtype=torch.float64)
MEAN = [40, 40, 40]


def kl(p: list[int], q: list[int]) -> float:
    return sum(a / 120 * math.log(a / b) for a, b in zip(p, q, strict=True))


# For each measure: the optimal critic as a function of the ratio P / Q, and the divergence.
OPTIMA = {
    "gan": (RATIO.log(), kl(P, MEAN) + kl(Q, MEAN) - 2 * math.log(2)),
    "jsd": (RATIO.log(), kl(P, MEAN) + kl(Q, MEAN) - 2 * math.log(2)),
    "dv": (RATIO.log(), kl(P, Q)),
    "kl": (1 + RATIO.log(), kl(P, Q)),
    "rkl": (RATIO.log(), kl(Q, P)),
    "hellinger": (RATIO.log() / 2, sum((math.sqrt(a / 120) - math.sqrt(b / 120)) ** 2 for a, b in zip(P, Q))),  # noqa: B905
    "chi2": (2 * (RATIO - 1), sum((a - b) ** 2 / b for a, b in zip(P, Q)) / 120),  # noqa: B905
}


def sample(scores: Tensor, counts: list[int]) -> Tensor:
    """Return the score of each of 120 draws from a distribution."""
    return scores.repeat_interleave(torch.tensor(counts))[:, None]


def check_bound(loss: Any, measure: str) -> None:
    """Check that minus the loss is the divergence for the optimal critic, and less for every other critic."""
    best, divergence = OPTIMA[measure]
    assert_close(-loss(sample(best, P), sample(best, Q), measure), divergence, 1e-12, "the bound at its best")
    for seed in range(20):
        other = best + 0.5 * randn(3, seed=seed)
        assert -loss(sample(other, P), sample(other, Q), measure) < divergence


@pytest.mark.parametrize("measure", DIVERGENCES)
class TestDivergences:
    def test_the_bound_is_met_and_never_exceeded(self, measure: str) -> None:
        check_bound(discriminator_loss, measure)

    def test_it_is_the_formula_of_the_estimators(self, measure: str) -> None:
        """Scores on the prior are joint pairs, and scores on data are marginal pairs."""
        table = randn(4, 4)
        apart = ~torch.eye(4, dtype=torch.bool)
        scores = F.dense_scores(table)
        of_pairs = {"jsd": F.jsd_loss, "dv": F.dv_loss}.get(measure, lambda s: F.fdivergence_loss(s, measure))
        expected = of_pairs(scores)
        assert_close(discriminator_loss(table.diagonal(), table[apart], measure), expected, 1e-12)

    def test_the_encoder_may_play_the_same_bound(self, measure: str) -> None:
        """In the saturating form, both players share one sum: one player raises it, and the other lowers it."""
        on_prior, on_data = randn(6, 1).requires_grad_(), randn(5, 1, seed=1).requires_grad_()
        (theirs,) = torch.autograd.grad(discriminator_loss(on_prior, on_data, measure), on_data)
        (ours,) = torch.autograd.grad(encoder_loss(on_data, measure, saturating=True), on_data)
        assert_close(ours, -theirs, 1e-12)

    def test_not_saturating_it_wants_the_score_of_a_sample_of_the_prior(self, measure: str) -> None:
        scores = randn(6, 1).requires_grad_()
        by_prior = torch.autograd.grad(discriminator_loss(scores, torch.zeros(1), measure), scores)[0]
        by_data = torch.autograd.grad(encoder_loss(scores, measure, saturating=False), scores)[0]
        assert_close(by_data, by_prior, 1e-12)


def test_the_bound_check_refuses_a_flipped_sign_and_another_measure() -> None:
    for measure in DIVERGENCES:
        with pytest.raises(AssertionError):
            check_bound(lambda a, b, m: -discriminator_loss(a, b, m), measure)
        with pytest.raises(AssertionError):
            check_bound(lambda a, b, m: discriminator_loss(b, a, m), measure)
        with pytest.raises(AssertionError):
            check_bound(lambda a, b, m: discriminator_loss(a, b, "chi2" if m in ("kl", "dv") else "kl"), measure)


def test_wasserstein_is_a_difference_of_means() -> None:
    on_prior, on_data = randn(6, 1), randn(5, 1, seed=1)
    assert_close(discriminator_loss(on_prior, on_data, "wasserstein"), on_data.mean() - on_prior.mean(), 1e-12)
    for saturating in (False, True):
        assert_close(encoder_loss(on_data, "wasserstein", saturating=saturating), -on_data.mean(), 1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("saturating", [False, True])
def test_players_are_apart(measure: str, saturating: bool) -> None:
    check_players_apart(PriorMatchingLoss(4, measure=measure, gradient_penalty=1.0, saturating=saturating))
    if measure != "wasserstein":
        check_players_apart(PriorMatchingLoss(4, measure=measure, saturating=saturating))


class TestPenalty:
    def linear(self, length: float, measure: str = "gan", weight: float = 2.0) -> PriorMatchingLoss:
        """Return a prior term whose discriminator has a slope of this length everywhere."""
        loss = PriorMatchingLoss(4, "normal", hidden=(), measure=measure, gradient_penalty=weight).double()
        with torch.no_grad():
            loss.discriminator[0].weight.copy_(torch.full((1, 4), length / 2))
        return loss

    def penalty(self, loss: PriorMatchingLoss, y: Tensor) -> Tensor:
        """Return the part of the loss that the penalty adds, for the same samples of the prior."""
        bare = PriorMatchingLoss(4, "normal", measure="gan")
        bare.measure, bare.discriminator = loss.measure, loss.discriminator
        with_it, without = (each.terms(y, generator=torch.Generator().manual_seed(0)) for each in (loss, bare))
        assert with_it.encoder == without.encoder, "the penalty is D's alone"
        return with_it.discriminator - without.discriminator

    @pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 3.0])
    def test_of_a_known_slope(self, length: float) -> None:
        y = randn(6, 4)
        assert_close(self.penalty(self.linear(length), y), 2 * length**2, 1e-12, "zero-centred")
        centred = self.penalty(self.linear(length, "wasserstein"), y)
        assert_close(centred, 2 * (length - 1) ** 2, 1e-12, "around 1")

    def test_its_gradient_by_the_weights(self) -> None:
        loss = self.linear(3.0)
        (gradient,) = torch.autograd.grad(self.penalty(loss, randn(6, 4)), loss.discriminator[0].weight)
        assert_close(gradient, 2 * 2 * loss.discriminator[0].weight, 1e-12)

    def test_it_is_the_mean_of_both_distributions(self) -> None:
        """The discriminator is steep only at the data."""

        class Step(nn.Module):
            def forward(self, rows: Tensor) -> Tensor:
                return 3 * torch.relu(rows[:, :1] - 50)

        loss = self.linear(0.0)
        loss.discriminator = Step()
        assert_close(self.penalty(loss, randn(6, 4) + 100), 2 * (0 + 9) / 2, 1e-12)

    def test_wasserstein_looks_between_the_two(self) -> None:
        seen: list[Tensor] = []

        class Spy(nn.Module):
            def forward(self, rows: Tensor) -> Tensor:
                seen.append(rows.detach())
                return rows[:, :1]

        loss = self.linear(0.0, "wasserstein")
        loss.discriminator = Spy()
        y = torch.full((500, 4), 1000.0, dtype=torch.float64)
        loss.terms(y)
        between = seen[-1]
        assert len(between) == 500
        assert between.min() > -10
        assert between.max() < 1010
        assert_close(between.mean() / 1000, 0.5, 0.05)
        assert_close(between.std(0) / 1000, [12**-0.5] * 4, 0.05)
        assert (between - between[:, :1]).abs().max() < 20, "one share for all channels of a row"

    @pytest.mark.parametrize("measure", ["gan", "wasserstein"])
    def test_second_derivatives(self, measure: str) -> None:
        loss = PriorMatchingLoss(2, "normal", measure=measure, gradient_penalty=1.5)
        loss.discriminator = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        loss.double()
        y = randn(3, 2)
        weight = loss.discriminator[0].weight

        def of_weight(value: Tensor) -> Tensor:
            with torch.no_grad():
                weight.copy_(value)
            total = loss.terms(y, generator=torch.Generator().manual_seed(0)).discriminator
            (gradient,) = torch.autograd.grad(total, weight, retain_graph=True)
            return _with_gradient(value, total.detach(), gradient)

        assert torch.autograd.gradcheck(of_weight, weight.detach().clone().requires_grad_())

    def test_without_gradients_it_is_a_value(self) -> None:
        loss, y = self.linear(3.0), randn(6, 4)
        expected = loss(y, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            value = loss(y, generator=torch.Generator().manual_seed(0))
        assert not value.requires_grad
        assert value == expected

    # The compiler itself raises this warning at a graph break.
    @pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
    @pytest.mark.parametrize("measure", ["gan", "wasserstein"])
    def test_it_works_in_a_compiled_step(self, measure: str) -> None:
        """Compiled code cannot be differentiated twice, so the penalty must stay outside of it."""
        torch.compiler.reset()
        loss, y = PriorMatchingLoss(3, hidden=(5,), measure=measure, gradient_penalty=1.0), torch.randn(8, 3)
        values = []
        for call in (torch.compile(loss, backend="aot_eager"), loss):
            loss.zero_grad()
            value = call(y, generator=torch.Generator().manual_seed(0))
            value.backward()
            values.append((value.detach(), loss.discriminator[0].weight.grad))
        assert_close(values[0][0], values[1][0], 1e-6)
        assert_close(values[0][1], values[1][1], 1e-6)

    def test_half_precision(self) -> None:
        loss = PriorMatchingLoss(3, gradient_penalty=1.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(torch.randn(8, 3).bfloat16())
        assert value.dtype == torch.float32
        value.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())


class _WithGradient(torch.autograd.Function):
    """A value with a gradient that was computed elsewhere, for a check by finite differences."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, None, None]:
        return factor * ctx.saved_tensors[0], None, None


def _with_gradient(x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    return _WithGradient.apply(x, value, gradient)


@pytest.mark.parametrize("measure", [measure for measure in MEASURES if measure not in ("gan", "jsd")])
def test_the_encoder_comes_closer_to_the_prior(measure: str) -> None:
    """With every measure, outputs that start far from the prior come closer to it."""
    torch.manual_seed(0)
    encoder = nn.Linear(4, 2)
    nn.init.constant_(encoder.bias, 3.0)
    loss = PriorMatchingLoss(2, "normal", hidden=(32,), measure=measure, gradient_penalty=1.0)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=2e-2, betas=(0.5, 0.9))
    before = encoder(torch.randn(256, 4)).mean().abs()
    for _ in range(160):
        optimizer.zero_grad()
        loss(encoder(torch.randn(64, 4))).backward()
        optimizer.step()
    after = encoder(torch.randn(256, 4)).mean().abs()
    assert after < 0.5 * before, f"mean went from {before:.2f} to {after:.2f} off"


def test_the_whole_objective_takes_it_as_a_module() -> None:
    prior = PriorMatchingLoss(4, "normal", measure="kl", gradient_penalty=1.0)
    objective = DIMLoss(local_dim=3, global_dim=4, gamma=0.5, units=8, prior=prior)
    local, global_ = randn(4, 3, 2, dtype=torch.float32), randn(4, 4, dtype=torch.float32)
    out = objective(local, global_, generator=torch.Generator().manual_seed(0))
    assert objective.prior_term is prior
    assert_close(out.prior, prior(global_, generator=torch.Generator().manual_seed(0)), 1e-6)
    assert_close(out.loss, out.local + 0.5 * out.prior, 1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PriorMatchingLoss(4, measure="l2"), ValueError, "measure must be one of chi2, dv, gan, .*got 'l2'"),
        (lambda: PriorMatchingLoss(4, gradient_penalty=-1), ValueError, "gradient_penalty must be at least 0, got -1"),
        (lambda: PriorMatchingLoss(4, gradient_penalty="1"), TypeError, "gradient_penalty must be a number, got str"),
        (lambda: PriorMatchingLoss(4, measure="wasserstein"), ValueError, "gradient_penalty must be positive.*usual"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("measure", ["gan", "wasserstein"])
@pytest.mark.parametrize("replaced", [False, True])
def test_the_penalty_is_computed_where_nothing_is_differentiated(measure: str, replaced: bool) -> None:
    """Lightning validates under inference mode, in which autograd cannot differentiate."""
    torch.manual_seed(0)
    loss = PriorMatchingLoss(4, measure=measure, gradient_penalty=10.0, hidden=(8, 8), dtype=torch.float64)
    if replaced:
        loss.discriminator = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()

    def value() -> Tensor:
        return loss(randn(6, 4), generator=torch.Generator().manual_seed(1))

    expected = value().detach()
    with torch.no_grad():
        assert_close(value(), expected, 1e-12)
    with torch.inference_mode():
        assert_close(value(), expected, 1e-12)


def test_the_slope_of_the_discriminator_is_that_of_autograd() -> None:
    torch.manual_seed(0)
    ours = PriorMatchingLoss(4, hidden=(8, 6), dtype=torch.float64).discriminator
    plain = nn.Sequential(*(copy.deepcopy(layer) for layer in ours))  # not a PriorDiscriminator
    for centre in (0.0, 1.0):
        gradients = []
        for network in (ours, plain):
            value = slope_penalty(network, randn(5, 4), centre)
            found = torch.autograd.grad(value, list(network.parameters()), allow_unused=True, materialize_grads=True)
            gradients.append([value, *found])
        for one, other in zip(*gradients, strict=True):
            assert_close(one, other, 1e-12)
