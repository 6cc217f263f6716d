"""One of two processes that train a tapped encoder sharded by `fully_shard`, started by test_fsdp.py.

``python fsdp_ranks.py RANK WORLD FOLDER``: the processes meet through a file in FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from infomax import LocalDIMLoss, tap

SIZE = 4  # examples per process


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
        self.head = nn.Linear(6, 5)
        self.unused = nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.unused(self.head(self.blocks(images).mean((2, 3))))


def train(shard: Any, shares: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Train two steps; return the gradients of the second step and the weights after it."""
    torch.manual_seed(0)
    features = tap(Net(), "blocks", "head")
    loss_fn = LocalDIMLoss(6, 5, critic="bilinear")
    shard(features)
    optimizer = torch.optim.SGD([*features.parameters(), *loss_fn.parameters()], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        torch.stack([loss_fn(*features(share)) for share in shares]).mean().backward()
        for parameter in loss_fn.parameters():
            average(parameter)
        optimizer.step()
    found = {}
    for name, parameter in features.named_parameters():
        if parameter.grad is not None:
            found[f"gradient of {name}"] = full(parameter.grad)
        found[name] = full(parameter.detach())
    return found


def average(parameter: Tensor) -> None:
    if dist.is_initialized():
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def batch() -> tuple[Tensor, ...]:
    return torch.rand(2 * SIZE, 3, 8, 8, generator=torch.Generator().manual_seed(1)).split(SIZE)


def main(rank: int, world: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=(folder / "init").as_uri(), rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,))

    def shard(features: nn.Module) -> None:
        fully_shard(features.encoder.blocks, mesh=mesh)
        fully_shard(features.encoder.head, mesh=mesh)
        fully_shard(features, mesh=mesh)

    torch.save(train(shard, batch()[rank : rank + 1]), folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
