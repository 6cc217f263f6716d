"""Whole training steps: tapped encoder, loss, backward pass and optimizer, compiled and in half precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from oracles import WITH_ANY_CRITIC
from tolerances import NETWORK, assert_close
from torch import Tensor, nn

from infomax import DIMLoss, FDivergence, GlobalDIMLoss, InfoMaxLoss, LocalDIMLoss, tap

quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*", "ignore:.*lr_scheduler.*"
)


class Net(nn.Module):
    """A convolutional encoder with a head that the loss does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1))
        self.vector = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 5))
        self.head = nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.vector(self.map(images)))


class Views(nn.Module):
    """The loss of two vectors on tapped features."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = InfoMaxLoss(6, 5, critic="bilinear")

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return self.loss(local.mean((2, 3)), global_)


class Training(nn.Module):
    """The forward pass of a training step, from images to the loss."""

    def __init__(self, loss_fn: nn.Module) -> None:
        super().__init__()
        self.features, self.loss_fn = tap(Net(), local="map", global_="vector"), loss_fn

    def forward(self, images: Tensor) -> Tensor:
        result = self.loss_fn(*self.features(images))
        return result.loss if hasattr(result, "loss") else result


LOSSES: dict[str, Any] = {
    "local": lambda: LocalDIMLoss(6, 5, units=8),
    "global": lambda: GlobalDIMLoss(6, 5, (4, 4), units=8),
    "all": lambda: DIMLoss(6, 5, (4, 4), alpha=1.0, units=8, estimator="jsd", prior="normal"),
    "two vectors": Views,
}


def images(step: int, n: int) -> Tensor:
    return randn(n, 3, 8, 8, seed=step, dtype=torch.float32)


@quiet
@pytest.mark.slow
@pytest.mark.parametrize(("name", "backend"), [*((name, "aot_eager") for name in LOSSES), ("local", "inductor")])
def test_a_compiled_step_is_the_plain_one_with_two_graphs_at_most(name: str, backend: str) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    training = Training(LOSSES[name]())
    other = copy.deepcopy(training)
    compiled = torch.compile(training, fullgraph=True, backend=backend)  # a graph break is an error
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9) for module in (training, other)]
    for step, n in enumerate((8, 3, 5, 12)):
        for function, optimizer in zip((compiled, other), optimizers, strict=True):
            torch.manual_seed(step)  # samples of the prior
            optimizer.zero_grad()
            loss = function(images(step, n))
            loss.backward()
            optimizer.step()
            if function is compiled:
                found = loss.detach()
        assert_close(found, loss.detach(), NETWORK[torch.float32], f"loss of step {step}")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2
    assert not torch._dynamo.utils.counters["graph_break"]
    for (key, one), two in zip(training.state_dict().items(), other.state_dict().values(), strict=True):
        assert_close(one, two, 10 * NETWORK[torch.float32], key)


HALF: dict[str, Any] = {
    **{
        f"local, {name}": (lambda name=name: LocalDIMLoss(6, 5, units=8, critic="cosine", estimator=_named(name)))
        for name in WITH_ANY_CRITIC
    },
    "local, dot": LOSSES["local"],
    "local, concat": lambda: LocalDIMLoss(6, 5, units=8, critic="concat"),
    "global": LOSSES["global"],
    "all": LOSSES["all"],
    "two vectors": LOSSES["two vectors"],
}


def _named(name: str) -> Any:
    return FDivergence("rkl") if name == "rkl" else name  # a loss refuses the short name


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=[] if name in ("local, dot", "all") else pytest.mark.slow)
        for name in HALF
        for dtype in (torch.float16, torch.bfloat16)
    ],
    ids=str,
)
def test_a_scaled_step_in_half_precision_is_near_the_plain_one(name: str, dtype: torch.dtype) -> None:
    """Unscaled gradients are finite and point in the direction of float32's, then a step is taken."""
    torch.manual_seed(0)
    training = Training(HALF[name]())
    other = copy.deepcopy(training)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=dtype == torch.float16)
    optimizer = torch.optim.SGD(training.parameters(), lr=0.1)
    before = copy.deepcopy(training.state_dict())
    torch.manual_seed(1)
    expected = other(images(0, 16))
    expected.backward()
    for _ in range(12):  # where a gradient overflows, the scaler skips the step and halves its factor
        optimizer.zero_grad()
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=dtype):
            loss = training(images(0, 16))
        assert loss.dtype == torch.float32
        assert_close(loss, expected, 3e-2)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        finite = all(p.grad.isfinite().all() for p in training.parameters() if p.grad is not None)
        for part, same in zip(training.children() if finite else (), other.children(), strict=finite):
            one, two = (
                torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
                for module in (part, same)
            )
            assert torch.cosine_similarity(one, two, 0) > 0.98
            assert_close(one.norm() / two.norm(), 1.0, 0.1)
        scaler.step(optimizer)
        scaler.update()
        if finite:
            break
        assert dtype == torch.float16
        assert all(torch.equal(before[key], value) for key, value in training.state_dict().items() if "weight" in key)
    assert finite
    after = training.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_measuring_under_autocast_leaves_the_loss_its_gradients() -> None:
    loss_fn = LocalDIMLoss(3, 4, critic="bilinear")
    local, global_ = torch.randn(6, 3, 2), torch.randn(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_fn.mutual_information(local, global_)
        loss_fn(local, global_).backward()
    assert all(parameter.grad is not None for parameter in loss_fn.parameters())
