"""torch.compile of whole losses at many batch sizes: two graphs are enough, and all sizes may be symbolic at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tolerances import NETWORK, assert_close
from torch import Tensor, nn

from infomax import DIMLoss, InfoMaxLoss, LocalDIMLoss

C, D = 6, 5
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*TensorFloat32.*"),
    pytest.mark.skipif(TORCH < (2, 7), reason="torch 2.6 counts its graphs in another way"),
]


def features(examples: int, *locations: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(examples)
    local = torch.randn(examples, C, *locations, generator=generator)
    return local, torch.randn(examples, D, generator=generator)


@pytest.mark.parametrize("estimator", ["alpha_tuba", pytest.param("infonce", marks=pytest.mark.slow)])
def test_two_graphs_for_ten_batch_sizes(estimator: str) -> None:
    """Once, alpha_tuba took the logarithm of the batch size in Python, which made a graph of every size."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(
        LocalDIMLoss(C, D, critic="bilinear", estimator=estimator), backend="eager", fullgraph=True
    )
    for examples in range(4, 14):
        compiled(*features(examples, 4))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


LOSSES: dict[str, Any] = {
    "local": (lambda: LocalDIMLoss(C, D, units=8), (4,)),
    "dim": (lambda: DIMLoss(C, D, (2, 2), alpha=1.0, gamma=0.0, units=8), (2, 2)),
    "two vectors": (lambda: InfoMaxLoss(C, D, units=8), ()),
    "clipped": (lambda: LocalDIMLoss(C, D, critic="bilinear", estimator="smile"), (4,)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "clipped" else []) for name in LOSSES]
)
def test_everything_symbolic_from_the_start(name: str) -> None:
    """Once, a float option that had become symbolic met `math.isfinite`, and no loss could be compiled."""
    torch._dynamo.reset()
    make, locations = LOSSES[name]
    loss: nn.Module = make()
    compiled = torch.compile(loss, dynamic=True, backend="eager", fullgraph=True)
    for examples in (5, 8):
        given = features(examples, *locations)
        found, expected = compiled(*given), loss(*given)
        assert_close(getattr(found, "loss", found), getattr(expected, "loss", expected), NETWORK[torch.float32])
