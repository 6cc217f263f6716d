"""torch.compile without a graph break, forward and backward."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from contracts import randn
from tolerances import NETWORK, assert_close
from torch import Tensor, nn

from infomax import LocalDIMLoss, ScoreRegularised


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
# Critics that go with particular estimators.
PARTICULAR: dict[str, dict[str, Any]] = {
    "gaussian": {"critic": "gaussian", "units": 8},
    "lipschitz": {"critic": "lipschitz", "units": 8},
}
# Tracing is what a graph break shows in; generated code is slow to build and tested once a day.
QUICK = {("dot", "infonce", "aot_eager"), ("concat", "jsd", "aot_eager")}
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
        shapes.append((7, 4, 3, 3))  # compiles anew, with sizes that may vary
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
