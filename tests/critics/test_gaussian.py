"""The conditional Gaussian critic: its density, its accuracy, and the upper bounds computed from its scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gaussians import gaussian_information, gaussian_reverse_kl
from tolerances import assert_close
from torch import Tensor, nn

from infomax import CLUB, DIMLoss, GaussianCritic, GlobalDIMLoss, LeaveOneOut, LocalDIMLoss
from infomax.estimators import Estimator


def log_density(critic: GaussianCritic, local: Tensor, global_: Tensor) -> Tensor:
    """Return log densities (M, K) by torch.distributions in float64, from the critic's mean and variance."""
    mean, log_variance = (part.double() for part in critic.conditional(local))
    normal = torch.distributions.Normal(mean[None], (0.5 * log_variance).exp()[None])
    return normal.log_prob(global_.double()[:, None]).sum(-1)


def tight(units: int, dim: int, variance: float) -> GaussianCritic:
    critic = GaussianCritic(5, dim, units=units)
    nn.init.constant_(critic.log_variance.bias, math.log(variance))
    nn.init.normal_(critic.mean.bias)
    return critic


@pytest.mark.parametrize("variance", [1.0, 1e-2, 1e-3])
def test_float32_is_as_exact_as_its_docstring_says(variance: float) -> None:
    critic = tight(32, 16, variance)
    local, global_ = torch.randn(48, 5), torch.randn(48, 16)
    joint = critic(local, global_).joint()
    expected = log_density(critic, local, global_).diagonal()
    assert "4e-7" in (GaussianCritic.__doc__ or "")
    largest = ((global_ - critic.mean.bias).square().sum(1) / variance).max()
    assert (joint - expected).abs().max() < 4e-7 * largest + 1e-5


def test_autocast_does_not_touch_the_difference_of_large_numbers() -> None:
    """With rows in bfloat16, scores would be wrong by tens of nats."""
    critic = tight(32, 16, 1e-2)
    local, global_ = torch.randn(12, 5), torch.randn(12, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = critic(local, global_).reduce("logsumexp")
        table = log_density(critic, local, global_)
    assert_close(found.joint, table.diagonal(), 1e-4, "joint")
    assert_close(found.marginal, table.fill_diagonal_(-math.inf).logsumexp(1), 1e-4, "marginal")


def test_variances_stay_within_the_spread() -> None:
    critic = GaussianCritic(5, 3, units=8, spread=2.0)
    _, log_variance = critic.conditional(1e3 * torch.randn(64, 5))
    assert log_variance.abs().max() <= 2.0
    assert log_variance.abs().max() > 1.9, "the input drives it to the bound"


class True_(GaussianCritic):  # noqa: N801
    """A critic with the true conditional density of correlated normals."""

    def __init__(self, correlation: float) -> None:
        super().__init__(1, 1, units=1)
        self.correlation = correlation

    def conditional(self, local: Tensor) -> tuple[Tensor, Tensor]:
        return self.correlation * local, torch.full_like(local, math.log1p(-(self.correlation**2)))


@pytest.mark.parametrize("estimator", [CLUB(), LeaveOneOut()])
def test_with_the_true_density_both_lie_above(estimator: Estimator) -> None:
    """Estimates from float32 features are compared with the truth within 4 standard errors."""
    correlation, found = 0.7, []
    critic = True_(correlation)
    for _ in range(200):
        x = torch.randn(64, 1)
        y = correlation * x + math.sqrt(1 - correlation**2) * torch.randn(64, 1)
        found.append(float(estimator.mutual_information(critic(x, y))))
    mean, deviation = np.mean(found), 4 * np.std(found) / len(found) ** 0.5
    truth = gaussian_information(correlation)
    assert mean >= truth - deviation
    above = gaussian_reverse_kl(correlation) if isinstance(estimator, CLUB) else 0.02
    assert mean <= truth + above + deviation


def test_the_likelihood_finds_the_density() -> None:
    """Fitted on batches of correlated normals, the critic recovers the conditional mean and variance."""
    correlation = 0.8
    critic, estimator = GaussianCritic(1, 1, units=16), CLUB()
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(250):
        x = torch.randn(256, 1)
        y = correlation * x + math.sqrt(1 - correlation**2) * torch.randn(256, 1)
        loss = estimator(critic(x, y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean, log_variance = critic.conditional(torch.linspace(-1.5, 1.5, 7)[:, None])
    assert (mean.squeeze() - correlation * torch.linspace(-1.5, 1.5, 7)).abs().max() < 0.2
    assert (log_variance - math.log(1 - correlation**2)).abs().max() < 0.3
    entropy = 0.5 * math.log(2 * math.pi * math.e * (1 - correlation**2))
    assert abs(float(loss.detach()) - entropy) < 0.2


def test_the_estimate_lowers_information_by_its_gradient() -> None:
    """Both upper bounds can be minimised: a gradient step on the features lowers the estimate."""
    density = GaussianCritic(4, 3, units=8)
    local = torch.randn(8, 4, requires_grad=True)
    global_ = torch.randn(8, 3)
    for estimator in (CLUB(), LeaveOneOut()):
        local.grad = None
        before = estimator.estimate(density(local, global_))
        before.backward()
        assert local.grad is not None
        assert estimator.mutual_information(density(local - 0.1 * local.grad, global_)) < before.detach()


@pytest.mark.parametrize("name", ["club", "leave_one_out"])
def test_losses_ask_for_a_density(name: str) -> None:
    for build in (
        lambda: LocalDIMLoss(3, 2, estimator=name),
        lambda: LocalDIMLoss(3, 2, estimator=name, critic=nn.Bilinear(3, 2, 1)),
        lambda: GlobalDIMLoss(3, 2, (2,), estimator=name, critic="cosine"),
        lambda: DIMLoss(3, 2, estimator=name),
    ):
        with pytest.raises(ValueError, match=r"critic must make log densities for .*critic='gaussian'.*got"):
            build()
    loss = LocalDIMLoss(3, 2, estimator=name, critic="gaussian", units=8)
    loss(torch.randn(4, 3, 2), torch.randn(4, 2)).backward()
    assert loss.mutual_information(torch.randn(4, 3, 2), torch.randn(4, 2)).isfinite()


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: GaussianCritic(3, 2, spread=0.0), ValueError, "spread must be positive, got 0.0"),
        (lambda: GaussianCritic(3, 2, spread="1"), TypeError, "spread must be a number, got str"),
        (lambda: GaussianCritic(3, 2, units=0), ValueError, "units must be at least 1, got 0"),
    ],
)
def test_refusals(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()
