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
from infomax.prior import NoisePrior

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


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
    if name == "mask" and TORCH < (2, 10):
        pytest.skip("an older torch breaks the graph where values decide a size")
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


class Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = NoisePrior(5)

    def forward(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.layer(y, generator=generator).exp().mean()


def draws(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def masked(n: int) -> dict[str, Tensor]:
    mask = torch.rand(n, 2, 2, generator=draws(n)) < 0.6
    mask[:2, 0, 0], mask[-1] = True, False
    return {"mask": mask}


def grouped(n: int, given: int = 0) -> dict[str, Tensor]:
    return {"group": 7 - torch.arange(n + given) % 3}


def beside(n: int) -> dict[str, Tensor]:
    return {"negatives": randn(n + 3, 6, seed=n, dtype=torch.float32), **grouped(n, n + 3)}


def ragged(n: int) -> dict[str, Tensor]:
    drawn = torch.randint(n, (3 * n,), generator=draws(n))
    return {"batch": torch.cat([drawn, torch.arange(n)])}


def with_prior(**options: Any) -> DIMLoss:
    return DIMLoss(6, 5, units=8, gamma=1.0, prior=PriorMatchingLoss(5, hidden=(8, 8), gradient_penalty=1.0, **options))


def local(**options: Any) -> LocalDIMLoss:
    return LocalDIMLoss(6, 5, units=8, **options)


# What the call gets beside the features, and whether the graph has breaks.
CALLS: dict[str, tuple[Any, Any, bool]] = {
    "prior, mask": (lambda: DIMLoss(6, 5, units=8, gamma=1.0), masked, False),
    "all terms, mask": (lambda: DIMLoss(6, 5, (2, 2), units=8, alpha=0.5, prior="normal"), masked, False),
    **{
        f"{measure} penalty, mask": (lambda measure=measure: with_prior(measure=measure), masked, False)
        for measure in ("gan", "dv", "kl", "rkl", "hellinger", "chi2", "wasserstein")
    },
    "noise prior, mask": (lambda: DIMLoss(6, 5, units=8, prior=Noise()), masked, False),
    "concat, mask": (lambda: local(critic="concat"), masked, True),
    "group": (local, grouped, False),
    "group, concat": (lambda: local(critic="concat"), grouped, False),
    "group, mask": (local, lambda n: {**grouped(n), **masked(n)}, False),
    "group, negatives, mask": (local, lambda n: {**beside(n), **masked(n)}, False),
    "group, only negatives": (lambda: local(in_batch=False), beside, False),
    "ragged": (local, ragged, False),
    "ragged, group": (local, lambda n: {**ragged(n), **grouped(n)}, False),
    "ragged, prior": (lambda: DIMLoss(6, 5, units=8, gamma=1.0), ragged, False),
    "ragged, concat": (lambda: local(critic="concat"), ragged, False),
    "ragged, drawn locations": (lambda: local(sample_locations=2), ragged, False),
    "ragged, drawn locations, bilinear": (
        lambda: LocalDIMLoss(6, 5, critic="bilinear", sample_locations=2),
        ragged,
        False,
    ),
    "ragged, drawn locations, concat": (lambda: local(sample_locations=2, critic="concat"), ragged, True),
}


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # a warning of torch at a graph break
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ("prior, mask", "ragged, group") else pytest.mark.slow) for name in CALLS],
)
def test_calls_that_depend_on_values_compile_once_for_all_sizes(name: str) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    make, given, breaks = CALLS[name]
    loss = make()
    full = not breaks and TORCH >= (2, 10)  # an older torch breaks the graph where values decide a size
    expected, compiled = copy.deepcopy(loss), torch.compile(loss, fullgraph=full, backend="aot_eager")
    graphs = []
    for step, n in enumerate((8, 4, 5, 12, 6)):
        others = given(n)
        first = (len(others["batch"]), 6) if "batch" in others else (n, 6, 2, 2)
        features = randn(*first, seed=step, dtype=torch.float32), randn(n, 5, seed=step + 9, dtype=torch.float32)
        results = []
        for function, module in ((compiled, loss), (expected, expected)):
            torch.manual_seed(step)
            leaves = [value.clone().requires_grad_() for value in features]
            value = function(*leaves, **others)
            value = getattr(value, "loss", value)
            learned = [*leaves, *module.parameters()]
            results.append([value, *torch.autograd.grad(value, learned)])
        for one, other in zip(*results, strict=True):
            assert_close(one, other, NETWORK[torch.float32])
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    if full:
        assert graphs[-1] <= 2
    elif TORCH >= (2, 10):
        assert graphs[-1] == graphs[2]  # no more graphs for more sizes


@pytest.mark.slow
@pytest.mark.skipif(TORCH < (2, 10), reason="an older torch breaks the graph where values decide a size")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": torch.tensor([0, 1, 2, 4])}, "batch must hold examples of global_"),
        ({"batch": torch.tensor([0, 1, 2, -1])}, "batch must hold examples of global_"),
        ({"batch": torch.tensor([0, 1, 2, 2])}, "batch must name every example"),
        ({"group": torch.ones(4, dtype=torch.int64)}, "group must hold at least two groups"),
    ],
    ids=["too large", "negative", "an example without rows", "one group"],
)
def test_a_compiled_graph_checks_indices_when_it_runs(wrong: dict[str, Tensor], message: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(local(), fullgraph=True, backend="aot_eager")
    features = torch.randn(4, 6), torch.randn(4, 5)
    compiled(*features, **{name: torch.arange(4) for name in wrong})
    with pytest.raises(RuntimeError, match=message):
        compiled(*features, **wrong)
