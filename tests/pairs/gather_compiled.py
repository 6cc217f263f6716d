"""One of two processes that compile a training step with a gathered loss, run by test_gather_compiled.py.

``python gather_compiled.py RANK WORLD FOLDER``: saves the values and gradients of the plain and of the compiled step.
With ``FOLDER LOSSES``, the losses are read from the file of that name in the folder, and this process makes none.
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
from infomax.prior import NoisePrior

C, D = 6, 5
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "local": lambda: LocalDIMLoss(C, D, units=8, gather=True),
    "ring": lambda: LocalDIMLoss(C, D, units=8, gather="ring"),
    "jsd": lambda: LocalDIMLoss(C, D, units=8, gather=True, estimator="jsd"),
    "dim": lambda: DIMLoss(C, D, (3, 3), alpha=1.0, gamma=0.1, units=8, gather=True),
    "prior alone": lambda: DIMLoss(C, D, beta=0.0, gather=True),
    "two vectors": lambda: InfoMaxLoss(C, D, units=8, gather=True),
}
WRAPPED = ("local", "dim")  # also in DistributedDataParallel
BATCHES = (4, 6)  # the second one is compiled anew, with symbolic sizes


class Model(nn.Module):
    """An encoder and its loss."""

    def __init__(self, loss: nn.Module, between: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.between, self.loss = nn.Linear(D, D), between or nn.Identity(), loss

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        out = self.loss(local, self.between(self.encoder(global_)))
        return out if isinstance(out, Tensor) else out.loss


class ByScores(Model):
    """The loss and the information of one table of scores."""

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        global_ = self.encoder(global_)
        scores = self.loss.scores(local, global_)
        measured = self.loss.mutual_information(local, global_, gather=True)
        return self.loss.estimator(scores) + self.loss.estimator.mutual_information(scores) + measured


def step(model: nn.Module, local: Tensor, global_: Tensor) -> list[Tensor]:
    """Return the loss and the gradients of the parameters."""
    model.zero_grad()
    torch.manual_seed(3)  # for the prior's samples
    loss = model(local, global_)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def models() -> dict[str, Model]:
    """Return the models of new losses."""
    found = {name: Model(make()) for name, make in LOSSES.items()}
    found["noise"] = Model(LOSSES["local"](), NoisePrior(D, gather=True))
    return found | {f"{name} by scores": ByScores(LOSSES[name]()) for name in ("local", "ring")}


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    torch.manual_seed(0)
    if len(sys.argv) > 4:
        loaded = torch.load(folder / sys.argv[4], weights_only=False)
        chosen = {name: Model(loss) for name, loss in loaded.items()}
    else:
        chosen = models()
    found = {}
    for name, model in chosen.items():
        for wrapped in (False, True) if name in WRAPPED else (False,):
            torch._dynamo.reset()
            plain, other = copy.deepcopy(model), copy.deepcopy(model)
            if wrapped:
                plain, other = DistributedDataParallel(plain), DistributedDataParallel(other)
            compiled = torch.compile(other, backend="aot_eager")
            for examples in BATCHES:
                generator = torch.Generator().manual_seed(10 * examples + rank)
                local = torch.randn(examples, C, *(() if name == "two vectors" else (3, 3)), generator=generator)
                global_ = torch.randn(examples, D, generator=generator)
                found[name, wrapped, examples] = step(plain, local, global_), step(compiled, local, global_)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
