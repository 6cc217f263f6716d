"""The processes that train one model together, as torchrun starts them; usually there is one."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import BadInput

PATIENCE = timedelta(hours=12)  # the others wait while the first decodes images or probes
WIDTH = 4
LOST = (  # what a process reports that waits for one that has failed: infomax, and gloo
    "raised an error; its message is in the log of that process",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818
    """Another process failed, and reports the reason."""


class Team:
    """Rank and number of the processes, and the operations between them, which every process must call.

    Args:
        device: value of ``--device``, or ``"auto"``.
    """

    def __init__(self, device: str = "auto") -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1:
            on_gpu = torch.cuda.is_available() and device in ("auto", "cuda")
            if on_gpu:
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)

    def leave(self) -> None:
        """End the process group; from here on, the first process works alone."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def say(self, text: str) -> None:
        """Print a line, in the first process only."""
        if self.rank == 0:
            print(text)

    def has_lost(self, error: RuntimeError) -> bool:
        """Return whether an error says that another process has failed, in an exchange that this one waited in."""
        network = isinstance(error, dist.DistNetworkError) or any(words in str(error) for words in LOST)
        return self.size > 1 and network

    def complain(self, text: str) -> None:
        """Print an error message of this process."""
        print(f"train_dim: {f'rank {self.rank}: ' if self.rank else ''}{text}", file=sys.stderr)

    def exchange(self, *values: float, failed: bool = False) -> list[list[float]]:
        """Return a few numbers of every process, by rank.

        If any process failed, all processes except the first that failed raise `Stopped`.
        """
        if self.size == 1:
            return [list(values)]
        ours = torch.tensor([float(failed), *values, *[0.0] * (WIDTH - len(values))], dtype=torch.float64)
        theirs = [torch.empty_like(ours) for _ in range(self.size)]
        dist.all_gather(theirs, ours)
        failures = [bool(each[0]) for each in theirs]
        if any(failures) and failures.index(True) != self.rank:
            raise Stopped
        return [each[1 : 1 + len(values)].tolist() for each in theirs]

    def together(self, work: Callable[[], T]) -> T:
        """Do ``work`` in every process; if it fails in one process, no process goes on."""
        try:
            result = work()
        except (BadInput, OSError):
            self.exchange(failed=True)
            raise
        self.exchange()
        return result

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the first process, then in the others, which can use its download or cache."""
        if self.rank == 0:
            result = self.together(work)
            self.exchange()
            return result
        self.exchange()
        return self.together(work)

    def from_first(self, work: Callable[[], T]) -> T:
        """Do ``work`` in the first process only, and return its result in every process."""
        given: list[Any] = [self.together(work if self.rank == 0 else lambda: None)]
        if self.size > 1:
            dist.broadcast_object_list(given)
        return given[0]

    def of_all(self, value: T) -> list[T]:
        """Return a value of every process, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def share(self, index: Tensor) -> Tensor:
        """Return this process's part of a batch."""
        return index.chunk(self.size)[self.rank]

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Wrap the model so that its gradients are means over the processes."""
        if self.size == 1:
            return model
        if device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model.encoder)
        return nn.parallel.DistributedDataParallel(model)
