"""A tiny encoder overfits a handful of examples: information rises for every estimator with every critic."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from contracts.layouts import for_a_loss
from contracts.modules import check_overfits
from oracles import WITH_ANY_CRITIC
from own_critic import Distance
from torch import Tensor, nn

from infomax import DIMLoss, GlobalDIMLoss, LocalDIMLoss

EXAMPLES = 6
CRITICS = ["dot", "concat", "bilinear", "cosine", "own"]
QUICK = (
    {("cosine" if name == "wasserstein" else "dot", name) for name in WITH_ANY_CRITIC}
    | {(critic, "infonce") for critic in CRITICS}
    | {("concat", "mine")}
)
GRID = [
    pytest.param(critic, name, marks=[] if (critic, name) in QUICK else pytest.mark.slow)
    for critic in CRITICS
    for name in WITH_ANY_CRITIC
    if name != "wasserstein" or critic == "cosine"  # without a bound on the critic's slope it has no maximum
]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.Tanh())
        self.top = nn.Linear(8 * 4, 8)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        local = self.map(images)
        return local, self.top(local.flatten(1))


def options(critic: str) -> dict[str, Any]:
    if critic == "own":
        return {"critic": Distance(8, 8)}
    return {"critic": critic} if critic == "bilinear" else {"critic": critic, "units": 16}


def overfit(loss: Any, **keywords: Any) -> None:
    encoder, images = Encoder(), torch.randn(EXAMPLES, 1, 5, 5)
    check_overfits(loss, encoder=encoder, images=images, forward=lambda net, x: net(x), **keywords)


@pytest.mark.parametrize(("critic", "estimator"), GRID)
def test_local(critic: str, estimator: str) -> None:
    loss = LocalDIMLoss(8, 8, estimator=for_a_loss(estimator), **options(critic))
    if estimator == "rkl":
        # The reverse divergence of a handful of examples is infinite. It does not bound the largest marginal scores,
        # which dominate the Donsker-Varadhan estimate, so this test follows minus the loss instead.
        overfit(loss, read=lambda local, global_: -loss(local, global_))
    else:
        # The Renyi estimate of a chi-squared critic starts at 0 and saturates early; see its docstring.
        overfit(loss, gain=0.2 if estimator == "chi2" else 0.5)


@pytest.mark.parametrize("estimator", ["infonce", "jsd", "dv"])
def test_global(estimator: str) -> None:
    overfit(GlobalDIMLoss(8, 8, (2, 2), estimator=estimator, units=16))


def test_infonce_nears_its_ceiling() -> None:
    loss, encoder, images = LocalDIMLoss(8, 8, units=32), Encoder(), torch.randn(EXAMPLES, 1, 5, 5)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss(*encoder(images)).backward()
        optimizer.step()
    ceiling = math.log(1 + (EXAMPLES - 1) * 4)
    assert 0.8 * ceiling < loss.mutual_information(*encoder(images)) <= ceiling + 1e-5


def test_the_whole_objective_and_its_prior_train_in_one_step() -> None:
    torch.manual_seed(0)
    objective = DIMLoss(8, 8, (2, 2), alpha=0.5, beta=1.0, gamma=0.1, units=16)
    encoder, images = Encoder(), torch.randn(EXAMPLES, 1, 5, 5)
    before = {name: value.clone() for name, value in objective.named_parameters()}
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=5e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        out = objective(*encoder(images))
        out.loss.backward()
        optimizer.step()
        losses.append(out)
    assert losses[-1].local < losses[0].local - 0.3
    assert losses[-1].global_ < losses[0].global_ - 0.3
    assert all(out.loss.isfinite() for out in losses)
    assert all(not torch.equal(value, before[name]) for name, value in objective.named_parameters())


@pytest.mark.parametrize("critic", CRITICS)
def test_bfloat16_autocast(critic: str) -> None:
    """The loss stays float32, nothing becomes NaN, and information still rises."""
    loss = LocalDIMLoss(8, 8, **options(critic))

    def forward(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(images)

    class Autocast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = loss

        def forward(self, local: Tensor, global_: Tensor) -> Tensor:
            assert local.dtype == torch.bfloat16
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = self.inner(local, global_)
            assert value.dtype == torch.float32
            return value

        def mutual_information(self, local: Tensor, global_: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.inner.mutual_information(local, global_)

    check_overfits(Autocast(), encoder=Encoder(), images=torch.randn(EXAMPLES, 1, 5, 5), forward=forward, steps=40)


@pytest.mark.parametrize("estimator", ["nwj", "kl", "rkl", "hellinger", "chi2", "mine", "dv"])
def test_units_of_the_paper_do_not_overflow_at_the_start(estimator: str) -> None:
    loss = LocalDIMLoss(8, 8, estimator=for_a_loss(estimator), units=2048)
    value = loss(torch.randn(8, 8, 2, 2), torch.randn(8, 8))
    value.backward()
    assert value.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())
