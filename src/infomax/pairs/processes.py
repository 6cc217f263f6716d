"""Rows of other processes, with gradients.

Each process scores its own globals against the locals of all processes. Every process then computes the loss of the
whole batch, so gradients are summed over processes on the way back; averaged, as DistributedDataParallel and FSDP2 do,
they are those of one process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Processes"]


class _Sum(torch.autograd.Function):
    """The sum over processes, on each of them; backward likewise."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        values = values.clone(memory_format=torch.contiguous_format)  # it may serve elsewhere in the graph as it is
        dist.all_reduce(values, group=group)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total: Tensor = _Sum.apply(grad, ctx.group)
        return total, None


class _AllGather(torch.autograd.Function):
    """Rows of all processes, in the order of ranks; backward sums each one's gradients over the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int], group: dist.ProcessGroup | None) -> Tensor:
        ctx.sizes, ctx.group = sizes, group
        longest = max(sizes)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: rows.shape[0]] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded, group=group)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        total: Tensor = _Sum.apply(grad, ctx.group)
        return torch.split(total, ctx.sizes)[dist.get_rank(ctx.group)], None, None


class Processes:
    """The processes that share their rows.

    Args:
        group: a group of `torch.distributed`; the default one when None.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        # What `new_group` returns to a process outside is a number.
        if isinstance(group, int) and group == dist.GroupMember.NON_GROUP_MEMBER:
            raise ValueError("process_group must hold this process, got a group of others")
        if group is not None and not isinstance(group, dist.ProcessGroup):
            raise TypeError(
                f"process_group must be a torch.distributed.ProcessGroup, got {type(group).__name__}; of a device mesh "
                "it is mesh.get_group()"
            )
        self.group = group
        self._met: list[Tensor] = []
        self._again: list[Tensor] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Processes:
        return self  # groups cannot be copied, and a copy of a module belongs to the same

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return dist.is_available() and dist.is_initialized() and self.size > 1

    @property
    def rank(self) -> int:
        """The rank of this process in the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """How many there are."""
        return dist.get_world_size(self.group)

    def gather_rows(self, rows: Tensor, sizes: list[int]) -> Tensor:
        """Concatenate the rows of all processes in the order of ranks; differentiable.

        Args:
            rows: (n, \\*rest), the same rest everywhere.
            sizes: how many rows each process has.
        """
        gathered: Tensor = _AllGather.apply(rows, sizes, self.group)
        return gathered

    def gather_statistics(self, values: Tensor) -> tuple[Tensor, bool]:
        """Stack a vector (n,) of every process, of the same length everywhere, to (processes, n); differentiable.

        For what a critic has to know of all rows while it scores.

        Returns:
            The stack, and whether it is new: False where :meth:`absent` goes through exchanges made before.
        """
        if self._again:
            return self._again.pop(0), False
        everybody = self.gather_rows(values[None], [1] * self.size)
        self._met.append(everybody.detach())
        return everybody, True

    def begin(self) -> None:
        """Begin a call: no statistics have been exchanged."""
        self._met, self._again = [], []

    def numbers(self, ours: list[int], device: torch.device) -> list[list[int]]:
        """Return a list of as many integers of each process."""
        shape = torch.tensor(ours, device=device)
        shapes = [torch.empty_like(shape) for _ in range(self.size)]
        dist.all_gather(shapes, shape, group=self.group)
        everybody: list[list[int]] = torch.stack(shapes).tolist()
        return everybody

    def absent(self, score: Callable[[], object]) -> None:
        """Take part in the exchanges that the others still make in a call, after an error in this process.

        Args:
            score: scores no rows, with the exchanges that a call has. Those that were made before the error are not
                made again.
        """
        self._again, self._met = self._met, []
        try:
            with torch.no_grad():
                score()
        except Exception:  # noqa: BLE001 (the first error is the one to raise)
            return
        finally:
            self._again = []

    def pass_on(self, tensors: list[Tensor], source: int) -> list[Tensor]:
        """Send tensors to the next process, and receive those of the one before, in a ring; not differentiable.

        Args:
            tensors: (n, \\*rest), the same rest everywhere; all of one n.
            source: rows n of those that come.
        """
        group = self.group
        after, before = ((self.rank + step) % self.size for step in (1, -1))
        if group is not None:
            after, before = dist.get_global_rank(group, after), dist.get_global_rank(group, before)
        received = [tensor.new_empty(source, *tensor.shape[1:]) for tensor in tensors]
        moves = [dist.P2POp(dist.isend, tensor.contiguous(), after, group) for tensor in tensors if len(tensor)]
        moves += [dist.P2POp(dist.irecv, tensor, before, group) for tensor in received if source]
        if moves:
            for work in dist.batch_isend_irecv(moves):
                work.wait()
        return received
