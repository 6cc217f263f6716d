"""One of two processes that compile a part of a gathered loss, run by test_gather_compiled_parts.py.

``python gather_compiled_parts.py RANK WORLD FOLDER``: saves the values and gradients of the plain and of the compiled
part, and what was raised. The process group is given explicitly.
"""

from __future__ import annotations

import copy
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_compiled import BATCHES, C, D, step
from pairs.gather_faults import error_of
from torch import Tensor, nn

from infomax import LocalDIMLoss
from infomax.prior import NoisePrior


class Measured(nn.Module):
    """The information of all processes in place of a loss; its value has a gradient of zero."""

    def __init__(self, loss: LocalDIMLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        nats = self.loss.mutual_information(local, global_, gather=True)
        return nats + sum(0 * parameter.sum() for parameter in self.parameters())


class Noisy(nn.Module):
    """A noise prior after a layer."""

    def __init__(self, noisy: NoisePrior) -> None:
        super().__init__()
        self.encoder, self.noisy = nn.Linear(D, D), noisy

    def forward(self, _: Tensor, global_: Tensor) -> Tensor:
        return self.noisy(self.encoder(global_)).pow(3).sum()


def compiled(name: str, model: Any) -> nn.Module:
    """Return the model with one part compiled."""
    if name == "noise":
        model.noisy = torch.compile(model.noisy, backend="aot_eager")
        return model
    critic = (model.loss if name == "measured" else model).critic
    if name == "in place":
        critic.local_projection.compile(backend="aot_eager")
    else:
        critic.local_projection = torch.compile(critic.local_projection, backend="aot_eager")
    return model


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    found = {}
    for name in ("measured", "projection", "in place", "noise"):  # the first is built before any loss that gathers
        group = dist.new_group(list(range(world)), timeout=timedelta(seconds=30))
        torch.manual_seed(0)
        torch._dynamo.reset()
        made: dict[str, Any] = {
            "measured": lambda group=group: Measured(LocalDIMLoss(C, D, units=8, process_group=group)),
            "noise": lambda group=group: Noisy(NoisePrior(D, gather=True, process_group=group)),
        }
        plain = made.get(name, lambda group=group: LocalDIMLoss(C, D, units=8, gather=True, process_group=group))()
        other = compiled(name, copy.deepcopy(plain))
        for examples in BATCHES:
            generator = torch.Generator().manual_seed(10 * examples + rank)
            local = torch.randn(examples, C, 3, 3, generator=generator)
            global_ = torch.randn(examples, D, generator=generator)
            results = [step(plain, local, global_)]
            said = error_of(
                lambda results=results, other=other, given=(local, global_): results.append(step(other, *given))
            )
            found[name, examples] = said[:400], results
        dist.barrier()
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
