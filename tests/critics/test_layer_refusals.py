"""Layers that users may call by themselves refuse rows and sizes that do not fit, and name the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from infomax import LocalDIMLoss
from infomax.critics import LipschitzLinear, Projection
from infomax.prior import PriorDiscriminator
from infomax.training import FeatureQueue

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "projection": lambda: Projection(4, 6),
    "lipschitz": lambda: LipschitzLinear(4, 6),
    "discriminator": lambda: PriorDiscriminator(4, (6,)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (torch.randn(5, 3), ValueError, r"rows must have shape \(K, 4\), got \(5, 3\)"),
        (torch.tensor(1.0), ValueError, r"rows must have shape \(K, 4\), got \(\)"),
        (torch.ones(5, 4, dtype=torch.int64), TypeError, "rows must have a real floating dtype, got torch.int64"),
        (torch.randn(5, 4).double(), TypeError, "rows must have the dtype of the parameters, torch.float32, got"),
        (torch.randn(5, 4, device="meta"), ValueError, "rows must be on the device of the parameters, cpu, got meta"),
        ([[1.0] * 4] * 5, TypeError, "rows must be a torch.Tensor, got list"),
    ],
    ids=["channels", "a number", "integers", "float64", "device", "list"],
)
def test_rows_that_do_not_fit(name: str, rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LAYERS[name]()(rows)


def test_a_projection_takes_rows_alone() -> None:
    """Its batch norm would take the second axis of three for the units."""
    with pytest.raises(ValueError, match=r"rows must have shape \(K, 4\), got \(5, 4, 4\)"):
        Projection(4, 4)(torch.randn(5, 4, 4))


def test_the_slope_is_that_of_rows() -> None:
    with pytest.raises(ValueError, match=r"rows must have shape \(K, 4\), got \(5, 2, 4\)"):
        PriorDiscriminator(4, (6,))(torch.randn(5, 2, 4), slope=True)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_takes_what_it_casts(name: str, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert LAYERS[name]()(torch.randn(5, 4, dtype=dtype)).isfinite().all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_checked_layers_compile_to_one_graph(name: str) -> None:
    torch._dynamo.reset()
    layer = LAYERS[name]().eval()
    compiled, rows = torch.compile(layer, fullgraph=True, backend="eager"), torch.randn(5, 4)
    assert torch.allclose(compiled(rows), layer(rows))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: PriorDiscriminator(4, hidden=4), TypeError, r"hidden must be a sequence of sizes.*got int"),
        (lambda: PriorDiscriminator(4, hidden=(4, 0)), ValueError, "hidden must be at least 1, got 0"),
        (lambda: PriorDiscriminator(0), ValueError, "dim must be at least 1, got 0"),
        (lambda: PriorDiscriminator("4"), TypeError, "dim must be an integer, got str"),
    ],
)
def test_sizes_of_the_discriminator(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_a_discriminator_without_hidden_layers() -> None:
    assert PriorDiscriminator(4, ())(torch.randn(5, 4)).shape == (5, 1)


@pytest.mark.parametrize("device", ["cuda:77", "mps:0", "vulkan", torch.device("cuda", 77)], ids=str)
@pytest.mark.parametrize(
    "build", [lambda device: LocalDIMLoss(3, 3, device=device), lambda device: FeatureQueue(3, 4, device=device)]
)
def test_a_device_that_this_machine_lacks(build: Any, device: Any) -> None:
    """Torch's own error was about a driver, or about an operation of its own."""
    if str(device).startswith("mps") and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ValueError, match="device must be one that torch can use on this machine, got '"):
        build(device)
