"""One of two processes that compile a training step with a gathered loss, run by test_gather_compiled.py.

``python gather_compiled.py RANK WORLD FOLDER``: saves the values and gradients of the plain and of the compiled step.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from infomax import DIMLoss, InfoMaxLoss, LocalDIMLoss

C, D = 6, 5
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "local": lambda: LocalDIMLoss(C, D, units=8, gather=True),
    "ring": lambda: LocalDIMLoss(C, D, units=8, gather="ring"),
    "jsd": lambda: LocalDIMLoss(C, D, units=8, gather=True, estimator="jsd"),
    "dim": lambda: DIMLoss(C, D, (3, 3), alpha=1.0, gamma=0.1, units=8, gather=True),
    "two vectors": lambda: InfoMaxLoss(C, D, units=8, gather=True),
}


class Model(nn.Module):
    """An encoder and its loss."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.encoder, self.loss = nn.Linear(D, D), loss

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        out = self.loss(local, self.encoder(global_))
        return out if isinstance(out, Tensor) else out.loss


def step(model: nn.Module, local: Tensor, global_: Tensor) -> list[Tensor]:
    """Return the loss and the gradients of the parameters."""
    model.zero_grad()
    torch.manual_seed(3)  # for the prior's samples
    loss = model(local, global_)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    found = {}
    for name, make in LOSSES.items():
        for wrapped in (False, True):
            torch.manual_seed(0)
            torch._dynamo.reset()
            plain = Model(make())
            other = copy.deepcopy(plain)
            if wrapped:
                plain, other = DistributedDataParallel(plain), DistributedDataParallel(other)
            compiled = torch.compile(other, backend="aot_eager")
            for examples in (4, 6):
                generator = torch.Generator().manual_seed(10 * examples + rank)
                local = torch.randn(examples, C, *(() if name == "two vectors" else (3, 3)), generator=generator)
                global_ = torch.randn(examples, D, generator=generator)
                found[name, wrapped, examples] = step(plain, local, global_), step(compiled, local, global_)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
