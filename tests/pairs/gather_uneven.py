"""One of two processes whose shares differ in kind, run by test_uneven.py.

``python gather_uneven.py RANK WORLD FOLDER``: each function returns what the process finds, beside what one process
with the whole batch finds.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import C, D
from pairs.gather_faults import error_of

from infomax import InfoMaxLoss, LocalDIMLoss
from infomax.critics import CosineCritic

SHARES = (3, 2)


def ours(rank: int) -> slice:
    """The examples of a process."""
    return slice(sum(SHARES[:rank]), sum(SHARES[: rank + 1]))


def one_side_learns_on_one_rank(rank: int) -> dict[Any, Any]:
    """Two views, one of which has a gradient, on rank 1 alone; the critic has no parameters."""
    found: dict[Any, Any] = {}
    generator = torch.Generator().manual_seed(3)
    views = [torch.randn(sum(SHARES), D, generator=generator, dtype=torch.float64) for _ in range(2)]
    for same_side in (False, True):
        for side in (0, 1):
            for gather in (True, "ring", False):
                loss_fn = InfoMaxLoss(
                    D, D, critic=partial(CosineCritic, units=None), same_side=same_side, gather=gather
                )
                given = [view[ours(rank)].clone() if gather else view.clone() for view in views]
                given[side].requires_grad_(rank == 1 or not gather)
                loss = loss_fn(*given)
                loss.backward()
                gradient = given[side].grad
                if not gather:
                    gradient = len(SHARES) * gradient[ours(rank)]
                found[same_side, side, gather] = loss.detach(), gradient
    return found


def density_learns_on_one_rank(rank: int) -> dict[str, Any]:
    """Globals with a gradient, on rank 1 alone, for a loss that takes them as constants."""
    loss_fn = LocalDIMLoss(C, D, estimator="club", critic="gaussian", units=4, gather=True)
    local, global_ = torch.randn(3, C, 4), torch.randn(3, D)
    learned = global_.clone().requires_grad_(rank == 1)
    found = {"loss": error_of(lambda: loss_fn(local, learned).backward())}
    loss_fn(local, global_).backward()  # and the processes are in step
    loss_fn.estimator.estimate(loss_fn.scores(local, learned)).backward()
    return found | {"gradient": learned.grad}


CASES = [
    one_side_learns_on_one_rank,
    density_learns_on_one_rank,
]


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=(folder / "init").as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=1)
    )
    results = {case.__name__: case(rank) for case in CASES}
    torch.save(results, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
