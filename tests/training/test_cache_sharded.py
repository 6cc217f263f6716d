"""`cached_backward` keeps the user's settings of FSDP2's gradient synchronisation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pairs.gather_cases import FSDP_ON_CPU
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from infomax import CosineCritic, InfoMaxLoss
from infomax.training import cached_backward

pytestmark = pytest.mark.skipif(not FSDP_ON_CPU, reason="torch 2.6 cannot shard on a CPU")


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)


@pytest.fixture
def sharded(tmp_path: Path) -> Iterator[Views]:
    """Yield an encoder in FSDP2 on one process, with one parameter group for one layer and one for the rest."""
    dist.init_process_group("gloo", init_method=(tmp_path / "init").as_uri(), rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        encoder, mesh = Views(), init_device_mesh("cpu", (1,))
        fully_shard(encoder.first, mesh=mesh)
        fully_shard(encoder, mesh=mesh)
        yield encoder
    finally:
        dist.destroy_process_group()


def step(encoder: nn.Module, seed: int) -> None:
    x = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))
    cached_backward(encoder, InfoMaxLoss(3, 3, critic=partial(CosineCritic, units=None)), x, chunk_size=2)


def gradients(encoder: nn.Module) -> list[Tensor | None]:
    return [None if value.grad is None else value.grad.full_tensor() for value in encoder.parameters()]


def test_what_is_off_stays_off(sharded: Views) -> None:
    """Accumulation over steps: gradients are not exchanged until the user turns the exchange on again."""
    step(sharded, 0)
    step(sharded, 1)
    expected = gradients(sharded)
    sharded.zero_grad()
    sharded.set_requires_gradient_sync(False)
    step(sharded, 0)
    assert gradients(sharded) == [None] * 4, "nothing is exchanged in the last chunk"
    sharded.set_requires_gradient_sync(True)
    step(sharded, 1)
    for found, both in zip(gradients(sharded), expected, strict=True):
        torch.testing.assert_close(found, both)


def test_a_part_that_is_off_stays_off(sharded: Views) -> None:
    sharded.first.set_requires_gradient_sync(False)
    step(sharded, 0)
    assert [value is None for value in gradients(sharded)] == [True, True, False, False]


def test_an_error_in_a_chunk_leaves_the_exchange_as_it_was(sharded: Views) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError("in a chunk")

    for off in (True, False):
        sharded.zero_grad()
        sharded.set_requires_gradient_sync(not off)
        hook = sharded.register_forward_pre_hook(fail)
        with pytest.raises(ArithmeticError, match="in a chunk"):
            step(sharded, 0)
        hook.remove()
        step(sharded, 0)
        assert all((value is None) == off for value in gradients(sharded))
