"""One of several processes of a ring, run by test_ring.py: how many other processes' rows does it hold at a time?

``python ring_ranks.py RANK WORLD FOLDER``
"""

from __future__ import annotations

import gc
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from infomax import LocalDIMLoss
from infomax.pairs.processes import Processes


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=(folder / "init").as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=1)
    )
    received: list[list[StorageWeakRef]] = []
    held: list[int] = []
    original = Processes.pass_on

    def pass_on(self: Processes, tensors: list[Tensor], source: int) -> list[Tensor]:
        arrived = original(self, tensors, source)
        received.append([StorageWeakRef(tensor.untyped_storage()) for tensor in arrived])
        gc.collect()
        held.append(sum(any(not one.expired() for one in each) for each in received))
        return arrived

    Processes.pass_on = pass_on  # type: ignore[method-assign]
    loss_fn = LocalDIMLoss(3, 2, units=4, gather="ring")
    loss = loss_fn(torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 2, requires_grad=True))
    forward = list(held)
    loss.backward()
    torch.save((forward, held[len(forward) :]), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
