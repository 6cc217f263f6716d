"""An error in the backward pass of one process is held back until the other processes know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Guard"]


class Guard:
    """What a process failed with in a part of its backward pass, before an exchange with others.

    The part goes on without gradients, so that this process comes to the exchange as well. The exchange says who has
    failed, and all raise.

    Args:
        holds: whether there is an exchange; without one an error is raised where it occurs.
    """

    def __init__(self, *, holds: bool = True) -> None:
        self.holds = holds
        self.error: Exception | None = None

    def run(self, compute: Callable[[], tuple[Tensor, ...]], inputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Compute now; in the backward pass hold an error back, with gradients of 0 for the inputs.

        Args:
            compute: gives the outputs.
            inputs: what they depend on, all of it.
        """
        if not torch.is_grad_enabled():
            return compute()
        outputs: tuple[Tensor, ...] = _Guarded.apply(self, compute, *inputs)
        return outputs

    def tell(self, failed: list[int], rank: int) -> None:
        """Raise if a process has failed: on the process itself its error, on others which one it is.

        Args:
            failed: ranks.
            rank: that of this process.

        Raises:
            RuntimeError: another process raised an error.
        """
        error, self.error = self.error, None
        if rank in failed and error is not None:
            raise error
        if failed:
            raise RuntimeError(
                "gather=True needs the gradients of every process, and the backward pass of rank "
                f"{', '.join(map(str, failed))} raised an error; its message is in the log of that process"
            )


class _Guarded(torch.autograd.Function):
    """A part of the graph that its own node goes through, so that an error there can be caught."""

    @staticmethod
    def forward(ctx: Any, guard: Guard, compute: Callable[[], tuple[Tensor, ...]], *inputs: Tensor) -> Any:
        with torch.enable_grad():
            outputs = compute()
        ctx.guard, ctx.inputs = guard, len(inputs)
        # Saved tensors, with the graph behind them, are freed with the graph around, and kept where that is retained.
        ctx.save_for_backward(*inputs, *outputs)
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs, outputs = ctx.saved_tensors[: ctx.inputs], ctx.saved_tensors[ctx.inputs :]
        trained = [value for value in inputs if value.requires_grad]
        reached = [(output, grad) for output, grad in zip(outputs, grads, strict=True) if output.requires_grad]
        try:
            found = torch.autograd.grad(
                [output for output, _ in reached],
                trained,
                [grad for _, grad in reached],
                retain_graph=True,
                create_graph=torch.is_grad_enabled(),
                materialize_grads=True,
            )
        except Exception as error:
            if not ctx.guard.holds:
                raise
            ctx.guard.error = error
            found = tuple(torch.zeros_like(value) for value in trained)
        each = iter(found)
        return None, None, *(next(each) if value.requires_grad else None for value in inputs)
