"""torch.compile without a graph break, forward and backward."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from tolerances import NETWORK, assert_close
from torch import Tensor, nn

from infomax import DIMLoss, LocalDIMLoss, PriorMatchingLoss, ScoreRegularised, occlude


class Distance(nn.Module):
    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(local - global_).square().sum(1)


CRITICS: dict[str, dict[str, Any]] = {
    "dot": {"critic": "dot", "units": 8},
    "concat": {"critic": "concat", "units": 8},
    "bilinear": {"critic": "bilinear"},
    "cosine": {"critic": "cosine", "units": 8},
    "own": {"critic": Distance()},
}
# Critics for particular estimators.
PARTICULAR: dict[str, dict[str, Any]] = {
    "gaussian": {"critic": "gaussian", "units": 8},
    "lipschitz": {"critic": "lipschitz", "units": 8},
}
# Tracing reveals graph breaks. Generated code is slow to build, so it is tested once a day.
QUICK = {("dot", "infonce", "aot_eager")}
GRID = [
    pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
    for case in (
        *((critic, estimator, "aot_eager") for critic in CRITICS for estimator in ("infonce", "jsd", "mine", "chi2")),
        *((critic, "infonce", "inductor") for critic in CRITICS),
        *(("dot", estimator, "aot_eager") for estimator in ("tuba", "alpha_tuba")),
        *(("gaussian", estimator, "aot_eager") for estimator in ("club", "leave_one_out")),
        ("lipschitz", "wasserstein", "aot_eager"),
        *((critic, "regularised", "aot_eager") for critic in ("dot", "concat")),
    )
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*")
@pytest.mark.parametrize(("critic", "estimator", "backend"), GRID)
def test_full_graph(critic: str, estimator: str, backend: str) -> None:
    torch._dynamo.reset()
    chosen = ScoreRegularised(clip=1.0) if estimator == "regularised" else estimator
    loss = LocalDIMLoss(4, 4, estimator=chosen, **copy.deepcopy((CRITICS | PARTICULAR)[critic]))
    expected = copy.deepcopy(loss)
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    shapes = [(5, 4, 2, 3), (5, 4, 2, 3)]
    if (critic, estimator, backend) not in QUICK:
        shapes.append((7, 4, 3, 3))  # compiles once more, with symbolic sizes
    for step, shape in enumerate(shapes):
        local, global_ = randn(*shape, seed=step, dtype=torch.float32), randn(shape[0], 4, dtype=torch.float32)
        results = []
        for function in (expected, compiled):
            learns = not expected.estimator.fits_density
            leaves = local.clone().requires_grad_(), global_.clone().requires_grad_(learns)
            value = function(*leaves)
            results.append((value, *torch.autograd.grad(value, leaves if learns else leaves[:1])))
        for one, other in zip(*results, strict=True):
            assert_close(other, one, NETWORK[torch.float32])
    for (name, one), other in zip(expected.state_dict().items(), loss.state_dict().values(), strict=True):
        assert_close(other, one, NETWORK[torch.float32], name)


class Step(nn.Module):
    """The part of a training step after the encoder."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, *given: Tensor) -> Tensor:
        value = self.loss(*given)
        return value.loss if hasattr(value, "loss") else value


class Occluded(nn.Module):
    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return occlude(local).square().mean() + global_.square().mean()


STEPS: dict[str, Any] = {
    "mask": lambda: LocalDIMLoss(6, 5, units=8),
    "whole objective": lambda: DIMLoss(6, 5, units=8),
    "drawn locations": lambda: LocalDIMLoss(6, 5, units=8, sample_locations=2),
    "drawn negatives": lambda: LocalDIMLoss(6, 5, units=8, sample_negatives=2),
    "occlusion": Occluded,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "occlusion" else pytest.mark.slow) for name in STEPS]
)
def test_two_graphs_at_most_for_any_batch_size(name: str) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    loss = STEPS[name]()
    expected, compiled = copy.deepcopy(loss), torch.compile(Step(loss), fullgraph=True, backend="aot_eager")
    for step, n in enumerate((8, 3, 5)):
        given = [randn(n, 6, 2, 2, seed=step, dtype=torch.float32), randn(n, 5, dtype=torch.float32)]
        if name == "mask":
            mask = torch.rand(n, 2, 2, generator=torch.Generator().manual_seed(step)) < 0.7
            mask[-1] = False
            mask[:2, 0, 0] = True
            given.append(mask)
        leaves = [value.requires_grad_() for value in given[:2]]
        value = compiled(*given)
        gradients = torch.autograd.grad(value, leaves)
        if name == "mask":  # nothing is drawn at random, so the values can be compared
            right = expected(*given)
            for one, other in zip((value, *gradients), (right, *torch.autograd.grad(right, leaves)), strict=True):
                assert_close(one, other, NETWORK[torch.float32])
        assert value.isfinite()
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2
    if name == "mask":
        with pytest.raises(RuntimeError, match="mask must leave real locations"):
            compiled(*given[:2], torch.zeros_like(mask))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*")
@pytest.mark.parametrize("measure", ["gan", "wasserstein"])
def test_the_penalty_of_the_prior_is_part_of_the_graph(measure: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    loss = PriorMatchingLoss(5, measure=measure, gradient_penalty=1.0, hidden=(8, 8))
    expected, compiled = copy.deepcopy(loss), torch.compile(loss, fullgraph=True, backend="aot_eager")
    y = randn(6, 5, dtype=torch.float32)
    results = []
    for function in (expected, compiled):
        torch.manual_seed(1)
        value = function(y)
        value.backward()
        results.append(value)
    assert_close(results[1], results[0], NETWORK[torch.float32])
    for one, other in zip(loss.parameters(), expected.parameters(), strict=True):
        if other.grad is not None:
            assert_close(one.grad, other.grad, NETWORK[torch.float32])
