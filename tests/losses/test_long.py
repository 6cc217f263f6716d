"""Long trainings: the loss stays finite, and nothing is left over from one step to the next."""

from __future__ import annotations

import gc
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from infomax import DIMLoss, LocalDIMLoss, tap

pytestmark = pytest.mark.slow


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Conv1d(2, 6, 3, padding=1), nn.Tanh())
        self.top = nn.Sequential(nn.Flatten(), nn.Linear(6 * 8, 4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.top(self.map(x))
        return y


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("critic", ["dot", "cosine", "concat"])
@pytest.mark.parametrize("estimator", ["infonce", "jsd", "dv", "nwj", "smile"])
def test_three_thousand_steps_without_nan(estimator: str, critic: str, precision: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    features = tap(encoder, local="map")
    loss_fn = LocalDIMLoss(6, 4, estimator=estimator, critic=critic, units=8)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-2)
    half = precision != "float32"
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "float16")
    for step in range(3000):
        x = 3 * torch.randn(8, 2, 8)
        with torch.autocast("cpu", dtype=getattr(torch, precision)) if half else nullcontext():
            loss = loss_fn(*features(x))
        assert loss.isfinite(), f"step {step}"
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert all(parameter.isfinite().all() for parameter in [*encoder.parameters(), *loss_fn.parameters()])
    assert all(buffer.isfinite().all() for buffer in loss_fn.buffers())


def test_two_thousand_steps_without_growth() -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    loss_fn = DIMLoss(6, 4, (8,), alpha=0.5, beta=1.0, gamma=0.1, units=8)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    alive = []
    for step in range(2000):
        features = tap(encoder, local="map")  # a tap that is removed leaves no hook
        terms = loss_fn(*features(torch.randn(6, 2, 8)))
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        loss_fn.mutual_information(*(part.detach() for part in features(torch.randn(6, 2, 8))))
        features.remove()
        if step % 500 == 499:
            del features, terms
            gc.collect()
            alive.append((len(gc.get_objects()), sum(issubclass(type(each), Tensor) for each in gc.get_objects())))
    assert len({tensors for _, tensors in alive}) == 1, alive
    assert alive[-1][0] - alive[0][0] < 200, alive
    assert not any(module._forward_hooks for module in encoder.modules())
