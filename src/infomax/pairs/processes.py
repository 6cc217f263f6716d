"""Exchange of rows and gradients between processes.

Each process scores its own globals against the locals of all processes. Every process then computes the loss of the
whole batch, so the backward pass sums gradients over processes. Averaged over processes, as by DistributedDataParallel
and FSDP2, the gradients are those of one process with the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from infomax._compiling import keep_uncompiled, uncompiled
from infomax.pairs.codes import code_of, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from infomax.pairs.guard import Guard

__all__ = ["Processes", "check_none_failed"]

_NUMBERS = 32  # integers in each small exchange


class _Sum(torch.autograd.Function):
    """The sum over processes of tensors, flattened and concatenated; the backward pass sums gradients likewise."""

    @staticmethod
    def forward(ctx: Any, group: dist.ProcessGroup | None, *parts: Tensor) -> Tensor:
        ctx.group, ctx.shapes = group, [part.shape for part in parts]
        flat = torch.cat(
            [part.flatten() for part in parts]
        )  # a copy, since `all_reduce` works in place and the parts may be used elsewhere in the graph
        dist.all_reduce(flat, group=group)
        return flat

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pieces = torch.split(_Sum.apply(ctx.group, grad), [shape.numel() for shape in ctx.shapes])
        return None, *(piece.view(shape) for piece, shape in zip(pieces, ctx.shapes, strict=True))


class _AllGather(torch.autograd.Function):
    """The rows of all processes in the order of ranks; the backward pass sums a row's gradients over processes."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        index: Tensor | None,
        sizes: list[int],
        group: dist.ProcessGroup | None,
        guard: Guard | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.sizes, ctx.group, ctx.guard = sizes, group, guard
        if index is None:
            return torch.cat(_gather(rows, sizes, group)), None
        # Both travel as bytes. As floats, small negative integers would be NaNs, which a compiler may rewrite.
        packed = [part.contiguous().view(torch.uint8) for part in (rows, index)]
        gathered, width = _gather(torch.cat(packed, 1), sizes, group), packed[0].shape[1]
        of_all = torch.cat([part[:, width:] for part in gathered]).view(index.dtype)
        ctx.mark_non_differentiable(of_all)
        return torch.cat([part[:, :width] for part in gathered]).view(rows.dtype), of_all

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, None, None, None, None]:
        guard: Guard | None = ctx.guard
        rank = dist.get_rank(ctx.group)
        failed = grad.new_zeros(0 if guard is None else len(ctx.sizes))  # a flag per process, sent with the gradients
        if guard is not None and guard.error is not None:
            failed[rank] = 1
        total: Tensor = _Sum.apply(ctx.group, grad, failed)
        if guard is not None:
            guard.tell(total[grad.numel() :].detach().nonzero().flatten().tolist(), rank)
        rows = total[: grad.numel()].view_as(grad)
        return torch.split(rows, ctx.sizes)[rank], None, None, None, None


def _gather(rows: Tensor, sizes: list[int], group: dist.ProcessGroup | None) -> list[Tensor]:
    """Return the rows of each process."""
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: rows.shape[0]] = rows
    gathered = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(gathered, padded, group=group)
    return [part[:size] for part, size in zip(gathered, sizes, strict=True)]


class _CheckedBackward(torch.autograd.Function):
    """The identity on tensors; in the backward pass, all processes raise if one has failed."""

    @staticmethod
    def forward(ctx: Any, processes: Processes, guard: Guard, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.processes, ctx.guard = processes, guard
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        guard: Guard = ctx.guard
        everybody = ctx.processes.numbers("a backward pass", [guard.error is not None], grads[0].device)
        guard.tell([rank for rank, (failed,) in enumerate(everybody) if failed], ctx.processes.rank)
        return None, None, *grads


class Processes:
    """The processes that share their rows.

    Args:
        group: a group of `torch.distributed`; the default one when None.
        gathers: whether calls that may be compiled gather rows. The exchanges then stay uncompiled.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, *, gathers: bool = False) -> None:
        # `new_group` returns an integer to a process outside the new group.
        if isinstance(group, int) and group == dist.GroupMember.NON_GROUP_MEMBER:
            raise ValueError("process_group must hold this process, got a group of others")
        if group is not None and not isinstance(group, dist.ProcessGroup):
            raise TypeError(
                f"process_group must be a torch.distributed.ProcessGroup, got {type(group).__name__}; of a device mesh "
                "it is mesh.get_group()"
            )
        if gathers:
            keep_uncompiled()
        self.group = group
        self.gathers = gathers
        self._met: list[Tensor] | None = None  # the statistics that the current call has exchanged; None between calls
        self._again: list[Tensor] = []
        self.single_row = False
        """Whether the current call has taken statistics over a single row in total; the same on all processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Processes, gathers=self.gathers), (self.group,)  # what a call has exchanged is not kept

    def __deepcopy__(self, memo: dict[int, Any]) -> Processes:
        return self  # groups cannot be copied, and a copy of a module belongs to the same group

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return dist.is_available() and dist.is_initialized() and self.size > 1

    @property
    def rank(self) -> int:
        """The rank of this process in the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """Number of processes in the group."""
        return dist.get_world_size(self.group)

    def gather_rows(self, rows: Tensor, sizes: list[int]) -> Tensor:
        """Concatenate the rows of all processes in the order of ranks; differentiable.

        Args:
            rows: (n, \\*rest), with the same rest on every process.
            sizes: number of rows of each process.
        """
        gathered: Tensor = _AllGather.apply(rows, None, sizes, self.group, None)[0]
        return gathered

    def gather_indexed(
        self, rows: Tensor, index: Tensor | None, sizes: list[int], guard: Guard
    ) -> tuple[Tensor, Tensor | None]:
        """Concatenate the rows (n, d) of all processes, and integers (n, k) that belong to them, in one collective.

        Args:
            rows: (n, d), with the same d on every process.
            index: (n, k), integers that belong to the rows; None on all processes for rows alone.
            sizes: number of rows of each process.
            guard: the guard of the computations on the result. Where it holds back an error, all processes raise in the
                backward pass.
        """
        gathered: tuple[Tensor, Tensor | None] = _AllGather.apply(rows, index, sizes, self.group, guard)
        return gathered

    def checked_backward(self, tensors: list[Tensor], guard: Guard) -> list[Tensor]:
        """Return the tensors; in the backward pass, all processes raise if the guard of one holds back an error.

        Args:
            tensors: tensors of which at least one has a gradient, on all processes or on none.
            guard: the guard of the computations on these tensors.
        """
        return list(_CheckedBackward.apply(self, guard, *tensors))

    def gather_statistics(self, values: Tensor) -> tuple[Tensor, bool]:
        """Stack a vector (n,) of every process, of the same length everywhere, to (processes, n); differentiable.

        Critics use this method for statistics of the rows of all processes. Where gradients are on, the result requires
        a gradient even if the values of this process do not: those of another process may, and the exchange of the
        backward pass needs all processes.

        Returns:
            The stack, and whether it was exchanged now: False where :meth:`join_after_error` replays an earlier
            exchange.
        """
        if self._again:
            return self._again.pop(0), False
        if torch.is_grad_enabled() and not values.requires_grad:
            values = values.detach().requires_grad_()
        everybody = self.gather_rows(values[None], [1] * self.size)
        if self._met is not None:
            self._met.append(everybody.detach())
        return everybody, True

    @contextmanager
    def call(self) -> Iterator[None]:
        """Keep the exchanged statistics until the end of a call, for :meth:`join_after_error`.

        A nested call is part of the outer one.
        """
        if self.calling:
            yield
            return
        self._met, self._again, self.single_row = [], [], False
        try:
            yield
        finally:
            self._met, self._again, self.single_row = None, [], False

    @uncompiled
    def everywhere(self, compute: Callable[[], Tensor], what: str, device: torch.device) -> Tensor:
        """Compute a tensor on every process; if that raises an error on one of them, all processes raise one.

        Args:
            compute: a function that returns the tensor of this process.
            what: what the tensor is, for the message on the other processes.
            device: the device on which the process group exchanges tensors.
        """
        error: Exception | None = None
        try:
            value = compute()
        except Exception as raised:  # noqa: BLE001 (raised below, when the other processes know)
            error = raised
        self.raise_together(error, what, device)
        return value

    def raise_together(self, error: Exception | None, what: str, device: torch.device) -> None:
        """Raise on every process if one of them has an error: its own there, an error with its rank on the others.

        Args:
            error: the error of this process, or None.
            what: what each process should have computed, for the message on the other processes.
            device: the device on which the process group exchanges tensors.
        """
        failed = [rank for rank, (flag,) in enumerate(self.numbers(what, [error is not None], device)) if flag]
        if error is not None:
            raise error
        check_none_failed(failed, what)

    @property
    def calling(self) -> bool:
        """Whether a call is in progress, in which an error is held back until all processes know of it."""
        return self._met is not None

    def numbers(self, what: str, ours: list[int], device: torch.device) -> list[list[int]]:
        """Gather a list of integers, of the same length on every process, and return the list of each process.

        All such exchanges have one size and begin with a code of ``what``. So processes that are at different exchanges
        raise an error; they would otherwise wait, or read each other's numbers.

        Args:
            what: what the numbers belong to, such as "the prior term".
            ours: at most 31 integers.
            device: the device on which the process group exchanges tensors.

        Raises:
            RuntimeError: another process is at the exchange of something else.
        """
        message = torch.zeros(_NUMBERS, dtype=torch.int64)
        message[: len(ours) + 1] = torch.tensor([code_of(what), *ours])
        message = message.to(device)
        messages = [torch.empty_like(message) for _ in range(self.size)]
        dist.all_gather(messages, message, group=self.group)
        everybody: list[list[int]] = torch.stack(messages).tolist()
        elsewhere = [rank for rank, (code, *_) in enumerate(everybody) if code != code_of(what)]
        if elsewhere:
            raise RuntimeError(
                "gather=True needs the same calls of the loss in the same order on every process, but while rank "
                f"{self.rank} is at {what}, rank {listed(elsewhere)} is not; the error of that process says where it "
                "is"
            )
        return [numbers[1 : len(ours) + 1] for numbers in everybody]

    def join_after_error(self, score: Callable[[], Any]) -> Any:
        """Take part in the exchanges that the others still make in a call, after an error in this process.

        Args:
            score: a function that scores no rows and makes the exchanges of a call. Exchanges that were made before the
                error are replayed instead of repeated.

        Returns:
            The result of the function, or None where it raises an error as well.
        """
        self._again, self._met = self._met or [], []
        try:
            with torch.no_grad():
                return score()
        except Exception:  # noqa: BLE001 (the first error is the one to raise)
            return None
        finally:
            self._again = []

    def pass_on(self, tensors: list[Tensor], source: int) -> list[Tensor]:
        """Send tensors to the next process of a ring, and receive those of the previous one; not differentiable.

        Args:
            tensors: (n, \\*rest), all with the same n, and with the same rest on every process.
            source: number n of rows of the received tensors.
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


def check_none_failed(failed: list[int], what: str) -> None:
    """Raise ``RuntimeError`` if processes have failed that should have computed ``what``, such as "the features"."""
    if failed:
        raise RuntimeError(
            f"gather=True needs {what} of every process, and rank {listed(failed)} raised an error; its "
            "message is in the log of that process"
        )
