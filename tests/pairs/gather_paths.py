"""One of two processes whose rows are computed from each other or from what scores them, run by test_paths.py.

``python gather_paths.py RANK WORLD FOLDER``: each case returns gradients of this process and, for comparison, those of
one process with the whole batch, times the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from processes import as_rank
from torch import Tensor, nn

from infomax import Critic, InfoMaxLoss, LocalDIMLoss, PairwiseCritic
from infomax.pairs import Pairing
from infomax.scores import DenseScores

WORLD, N, C = 2, 4, 3
FORMS = (True, "ring")


class Tied(Critic):
    """A critic whose parameter makes the rows and scores them."""

    def __init__(self, local_dim: int, global_dim: int) -> None:
        super().__init__(local_dim, global_dim)
        self.factor = nn.Parameter(torch.tensor(1.3))

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> DenseScores:
        factor = self.factor

        def score(query: Tensor, key: Tensor) -> Tensor:
            return -factor * (query - key).square().sum(-1)

        return DenseScores(score, global_ * factor, local * factor, pairing, floats_per_pair=16, parameters=[factor])


class Distance(nn.Module):
    """Scores aligned rows by a layer that the encoder uses as well."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(self.layer(local) - global_).square().sum(1)


def _same_side(gather: Any) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    loss_fn = InfoMaxLoss(C, C, critic="bilinear", same_side=True, gather=gather)
    return loss_fn, loss_fn


def _symmetric(gather: Any) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    loss_fn = InfoMaxLoss(C, C, critic=Tied, gather=gather)
    return loss_fn, loss_fn


def _one_direction(gather: Any) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    loss_fn = InfoMaxLoss(C, C, critic=Tied, symmetric=False, gather=gather)
    return loss_fn, loss_fn


def _shared_layer(gather: Any) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    layer = nn.Linear(C, C)
    loss_fn = InfoMaxLoss(C, C, critic=PairwiseCritic(Distance(layer), C, C), symmetric=False, gather=gather)
    return loss_fn, lambda x, y: loss_fn(layer(x), layer(y).tanh())


CASES = {
    "same side": _same_side,
    "same side, x learns": _same_side,
    "symmetric": _symmetric,
    "one way": _one_direction,
    "shared layer": _shared_layer,
}


def gradients(rank: int, make: Callable[[Any], Any], *, x_alone: bool) -> dict[Any, Any]:
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, WORLD * N, C, generator=random, dtype=torch.float64)
    share = slice(rank * N, (rank + 1) * N)
    found = {}
    for gather in (*FORMS, False):
        torch.manual_seed(0)
        module, call = make(gather)
        module.double()
        given = [(part if gather is False else part[share]).clone() for part in (x, y)]
        learning = given[:1] if x_alone else given
        for part in learning:
            part.requires_grad_()
        call(*given).backward()
        for parameter in module.parameters():
            if gather is not False:
                dist.all_reduce(parameter.grad)
        factor = WORLD if gather is False else 1
        rows = [part.grad[share] * factor if gather is False else part.grad for part in learning]
        found[gather] = [*rows, *(parameter.grad * factor for parameter in module.parameters())]
    return found


def groups_and_negatives(rank: int) -> dict[Any, Tensor]:
    """Give groups, of which two examples on rank 1 share one, beside given negatives without groups."""
    random = torch.Generator().manual_seed(2)
    local, global_ = torch.randn(6, C, 4, generator=random), torch.randn(6, C, generator=random)
    negatives, group = torch.randn(4, C, generator=random), torch.tensor([7, 5, 2, 7, 7, 2])
    share = slice(3 * rank, 3 * rank + 3)
    found = {}
    for gather in (*FORMS, False):
        torch.manual_seed(0)
        loss_fn = LocalDIMLoss(C, C, units=4, gather=gather)
        if gather is False:
            found[gather] = loss_fn(local, global_, group=group, negatives=negatives).detach()
        else:
            ours = negatives[2 * rank : 2 * rank + 2]
            found[gather] = loss_fn(local[share], global_[share], group=group[share], negatives=ours).detach()
    return found


def empty_under_autocast(rank: int) -> dict[Any, Tensor]:
    """Let rank 1 have no examples, in float32, while those of rank 0 are bfloat16."""
    random = torch.Generator().manual_seed(3)
    local, global_ = torch.randn(5, C, 4, generator=random), torch.randn(5, C, generator=random)
    found = {}
    for critic in ("dot", "concat", "cosine"):
        for gather in (*FORMS, False):
            torch.manual_seed(0)
            loss_fn = LocalDIMLoss(C, C, critic=critic, units=4, gather=gather)
            given = local.bfloat16(), global_.bfloat16()
            if gather is not False and rank == 1:
                given = local[:0], global_[:0]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found[critic, gather] = loss_fn(*given).detach()
    return found


def main() -> None:
    with as_rank(30) as (rank, results):
        results |= {name: gradients(rank, make, x_alone="x learns" in name) for name, make in CASES.items()}
        results["groups and negatives"] = groups_and_negatives(rank)
        results["empty under autocast"] = empty_under_autocast(rank)


if __name__ == "__main__":
    main()
