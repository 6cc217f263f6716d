"""Critics for the Wasserstein estimator, Lipschitz by construction or by a penalty; and a baseline for each global."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.values import check_lipschitz
from tolerances import assert_close
from torch import Tensor, nn

from infomax import (
    BilinearCritic,
    ConcatCritic,
    CosineCritic,
    Critic,
    DotCritic,
    GaussianCritic,
    LipschitzCritic,
    LocalDIMLoss,
    PairwiseCritic,
)
from infomax import functional as F
from infomax.critics import GlobalBaseline, LipschitzLinear, spectral_norm_bound
from infomax.scores import PairScores
from infomax.variants import gradient_penalty

C, D = 3, 5


class TestSpectralNorm:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 4), (4, 6), (64, 64)])
    def test_it_is_never_too_small_and_hardly_too_large(self, shape: tuple[int, int]) -> None:
        for seed in range(5):
            weight = randn(*shape, seed=seed)
            exact = torch.linalg.matrix_norm(weight, 2)
            for iterations in (0, 2, 5):
                ratio = spectral_norm_bound(weight, iterations=iterations) / exact
                assert 1 - 1e-12 <= ratio <= min(shape) ** (1 / 2 ** (iterations + 2)) + 1e-12

    def test_equal_singular_values_are_the_worst(self) -> None:
        assert_close(spectral_norm_bound(torch.eye(256)), 256 ** (1 / 128), 1e-5)

    @pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
    def test_any_magnitude(self, size: float) -> None:
        weight = (size * randn(4, 3, dtype=torch.float32)).requires_grad_()
        bound = spectral_norm_bound(weight)
        assert_close(bound / size, spectral_norm_bound(weight.double()) / size, 1e-5)
        (gradient,) = torch.autograd.grad(bound, weight)
        assert gradient.isfinite().all()

    def test_zeros_divide_nothing_by_zero(self) -> None:
        layer = LipschitzLinear(3, 2)
        nn.init.zeros_(layer.weight)
        rows = layer(torch.ones(4, 3))
        rows.sum().backward()
        assert rows.isfinite().all()
        assert layer.weight.grad is not None
        assert layer.weight.grad.isfinite().all()

    def test_gradient(self) -> None:
        assert torch.autograd.gradcheck(spectral_norm_bound, randn(4, 3).requires_grad_())

    def test_half_precision(self) -> None:
        weight = randn(8, 8, dtype=torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            bound = spectral_norm_bound(weight)
        assert bound.dtype == torch.float32
        assert bound >= torch.linalg.matrix_norm(weight.float(), 2)


class TestLipschitzCritic:
    def test_shapes_alone(self) -> None:
        scores = LipschitzCritic(C, D, units=4, device="meta")(
            torch.empty(4, C, device="meta"), torch.empty(4, D, device="meta")
        )
        assert scores.joint().is_meta

    @pytest.mark.parametrize("radius", [0.5, 1.0, 20.0])
    def test_no_score_changes_by_more_than_the_features(self, radius: float) -> None:
        critic = LipschitzCritic(C, D, units=16, radius=radius).double()
        check_lipschitz(critic, C, D)
        for parameter in critic.parameters():  # also for weights far from the start
            nn.init.normal_(parameter, std=5.0)
        check_lipschitz(critic, C, D)

    def test_it_uses_what_it_may(self) -> None:
        """Some score changes by more than a tenth of the feature's change; a constant critic would be Lipschitz too."""
        critic = LipschitzCritic(C, D, units=16, radius=3.0).double()
        x, y = randn(64, C).requires_grad_(), randn(64, D, seed=1)
        (slope,) = torch.autograd.grad(critic(x, y).joint().sum(), x)
        assert slope.norm(dim=1).max() > 0.1

    def test_training_raises_the_dependency(self) -> None:
        loss_fn = LocalDIMLoss(C, D, estimator="wasserstein", critic=LipschitzCritic(C, D, units=16, radius=2.0))
        x = torch.randn(64, C)
        local, global_ = x, x @ torch.randn(C, D)
        optimizer = torch.optim.Adam(loss_fn.parameters(), lr=1e-2)
        losses = []
        for _ in range(60):
            loss = loss_fn(local, global_)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0] - 0.1
        assert loss_fn.mutual_information(local, global_) > 0


CRITICS: dict[str, Any] = {
    "bilinear": lambda: BilinearCritic(C, D),
    "cosine": lambda: CosineCritic(C, D, units=8),
    "concat": lambda: ConcatCritic(C, D, units=8),
    "gaussian": lambda: GaussianCritic(C, D, units=8),
    "lipschitz": lambda: LipschitzCritic(C, D, units=8),
    "own": lambda: PairwiseCritic(nn.Bilinear(C, D, 1), C, D),
}


class TestGradientPenalty:
    @pytest.mark.parametrize("name", CRITICS)
    def test_its_gradient_reaches_the_critic_and_nothing_else(self, name: str) -> None:
        critic = CRITICS[name]()
        local = randn(4, C, 3, dtype=torch.float32).requires_grad_()
        global_ = randn(4, D, 2, seed=1, dtype=torch.float32).requires_grad_()
        mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False], [True, True, True]])
        for hidden in (None, mask):
            penalty = gradient_penalty(critic, local, global_, hidden)
            assert penalty.shape == ()
            penalty.backward()
            assert local.grad is None
            assert global_.grad is None
            grads = [p.grad for p in critic.parameters() if p.grad is not None]
            assert grads
            assert all(grad.isfinite().all() for grad in grads)
            assert any(grad.any() for grad in grads)

    def test_its_value_for_a_bilinear_critic(self) -> None:
        """For T = x' W y, the gradient by x is W y and the gradient by y is W' x."""
        critic = BilinearCritic(C, D).double()
        local, global_ = randn(1, C).expand(6, C), randn(6, D, seed=1)  # all x are equal: no point between differs
        found = gradient_penalty(critic, local, global_, target=0.4)
        weight = critic.weight.weight
        by_x, by_y = global_ @ weight.T, local @ weight
        norm = (by_x.square().sum(1) + by_y.square().sum(1)).sqrt()
        assert_close(found, (norm - 0.4).square().mean(), 1e-12)

    def test_long_gradients_in_half_precision(self) -> None:
        critic = BilinearCritic(C, D).half()
        critic.weight.weight.data.fill_(200.0)
        ones = torch.ones(2, C, dtype=torch.half), torch.ones(2, D, dtype=torch.half)
        norm = 200 * (C * D**2 + D * C**2) ** 0.5
        assert_close(gradient_penalty(critic, *ones), (norm - 1) ** 2, 1e-3)

    def test_its_points_lie_between_a_joint_and_a_marginal_pair(self) -> None:
        seen: list[tuple[Tensor, Tensor]] = []

        class Watching(Critic):
            def score_rows(self, local: Tensor, global_: Tensor, pairing: Any) -> PairScores:
                seen.append((local.detach(), global_.detach()))
                return BilinearCritic(1, 1).double().score_rows(local, global_, pairing)

        n = 5
        local = torch.arange(n).double()[:, None, None].expand(n, 1, 2)  # each feature is the example's number
        global_ = torch.arange(n).double()[:, None]
        mask = torch.ones(n, 2, dtype=torch.bool)
        mask[2, 0], mask[4] = False, False
        for seed in range(50):
            gradient_penalty(Watching(1, 1), local, global_, mask, generator=torch.Generator().manual_seed(seed))
        x, y = (torch.cat(part) for part in zip(*seen, strict=True))
        assert set(y.flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}, "an example without locations has no joint pair"
        assert (x >= 0).all()
        assert (x <= 3).all(), "no masked location is drawn"
        assert (x != y).all(), "the other end is another example's"
        again = gradient_penalty(Watching(1, 1), local, global_, mask, generator=torch.Generator().manual_seed(0))
        assert again.isfinite()
        assert torch.equal(seen[-1][0], seen[0][0])

    def test_it_brings_the_norm_to_its_target(self) -> None:
        critic = ConcatCritic(C, D, units=32)
        local, global_ = 3 * torch.randn(32, C), 3 * torch.randn(32, D)
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
        losses = []
        for _ in range(80):
            loss = F.wasserstein_loss(critic(local, global_)) + 10 * gradient_penalty(critic, local, global_)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert gradient_penalty(critic, local, global_).detach() < 0.2
        assert losses[-1] < losses[0] - 0.3

    @pytest.mark.parametrize("critic", [BilinearCritic(C, D), LipschitzCritic(C, D, units=4)], ids=["bilinear", "own"])
    def test_it_is_computed_where_nothing_is_differentiated(self, critic: Critic) -> None:
        """Lightning validates under inference mode, in which autograd cannot differentiate."""

        def value() -> Tensor:
            local, global_ = randn(5, C, 3, dtype=torch.float32), randn(5, D, dtype=torch.float32)
            return gradient_penalty(critic, local, global_, generator=torch.Generator().manual_seed(1))

        expected = value().detach()
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert_close(value(), expected, 1e-6)

    def test_features_of_another_dtype(self) -> None:
        critic = ConcatCritic(C, D, units=4)
        with pytest.raises(TypeError, match=r"local must have the dtype of the parameters.*loss_fn\.to"):
            gradient_penalty(critic, torch.zeros(3, C).half(), torch.zeros(3, D).half())

    def test_no_grad_and_a_flat_critic(self) -> None:
        critic = ConcatCritic(C, D, units=4)
        for parameter in critic.parameters():
            nn.init.zeros_(parameter)
        penalty = gradient_penalty(critic, randn(3, C, dtype=torch.float32), randn(3, D, dtype=torch.float32))
        penalty.backward()
        assert penalty == 1.0
        assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())
        with torch.no_grad():
            assert gradient_penalty(critic, torch.randn(3, C), torch.randn(3, D)) == 1.0


class TestGlobalBaseline:
    def test_one_number_a_global_in_the_order_of_rows(self) -> None:
        baseline = GlobalBaseline(D, units=8).double()
        global_ = randn(4, D, 2, 3)
        values = baseline(global_)
        assert values.shape == (24,)
        assert_close(values[7], baseline(global_[1:2, :, 0, 1]).squeeze(), 1e-12)
        critic = BilinearCritic(C, D).double()
        F.tuba_loss(critic(randn(4, C, 2), global_), log_baseline=values).backward()
        assert all(p.grad is not None and p.grad.any() for p in baseline.parameters())
        assert_close(copy.deepcopy(baseline)(global_), values, 0.0)

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"global_ must have the shape \(N, 5, ...\), got \(4, 3\)"):
            GlobalBaseline(D)(torch.zeros(4, 3))
        with pytest.raises(TypeError, match="global_ must have a real floating dtype"):
            GlobalBaseline(D)(torch.zeros(4, D).long())
        with pytest.raises(TypeError, match=r"global_ must have the dtype of the parameters.*loss_fn\.to"):
            GlobalBaseline(D)(torch.zeros(4, D).half())


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LipschitzCritic(C, D, radius=0.0), ValueError, "radius must be positive, got 0.0"),
        (lambda: LipschitzCritic(C, D, radius=None), TypeError, "radius must be a number, got NoneType"),
        (lambda: LipschitzCritic(C, D, units=0), ValueError, "units must be at least 1, got 0"),
        (
            lambda: gradient_penalty(BilinearCritic(C, D), torch.zeros(4, C), torch.zeros(4, D), target="1"),
            TypeError,
            "target must be a number, got str",
        ),
        (
            lambda: gradient_penalty(BilinearCritic(C, D), torch.zeros(1, C), torch.zeros(1, D)),
            ValueError,
            "at least 2 examples, got 1",
        ),
        (
            lambda: gradient_penalty(DotCritic(C, D, units=2).eval(), torch.zeros(4, C), torch.zeros(4, D)),
            ValueError,
            "critic must score each pair by itself, got DotCritic with batch norm.*BilinearCritic",
        ),
        (
            lambda: LocalDIMLoss(C, D, estimator="wasserstein", critic="dot", units=2),
            ValueError,
            "critic must score each pair by itself and be Lipschitz for Wasserstein, got DotCritic.*critic='lipschitz'",
        ),
    ],
)
def test_refusals(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("weight", "options", "error", "message"),
    [
        (torch.ones(2, 4, 4), {}, ValueError, r"weight must have shape \(m, n\) .* got \(2, 4, 4\)"),
        (torch.ones(0, 4), {}, ValueError, r"weight must have shape \(m, n\)"),
        (torch.ones(4, 4, dtype=torch.long), {}, TypeError, "weight must have a real floating dtype"),
        (torch.ones(4, 4), {"iterations": -1}, ValueError, "iterations must be at least 0, got -1"),
        (torch.ones(4, 4), {"iterations": 130}, ValueError, "iterations must be at most 64, got 130"),
    ],
)
def test_a_bound_of_no_matrix_is_refused(
    weight: Tensor, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        spectral_norm_bound(weight, **options)


@pytest.mark.parametrize("iterations", [0, 64])
def test_the_bound_at_the_ends_of_its_iterations(iterations: int) -> None:
    assert float(spectral_norm_bound(torch.ones(4, 4), iterations=iterations)) == pytest.approx(4.0, rel=1e-5)
