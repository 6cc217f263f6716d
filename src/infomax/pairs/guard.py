"""Holding back an error in the backward pass of one process until the other processes know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Guard"]


class Guard:
    """The error of a process in one part of its backward pass, held back until an exchange with other processes.

    After an error, the part returns gradients of 0, so that this process still takes part in the exchange. The exchange
    tells all processes which of them have failed, and all raise.

    Args:
        holds: whether there is such an exchange; if not, an error is raised where it occurs.
    """

    def __init__(self, *, holds: bool = True) -> None:
        self.holds = holds
        self.error: Exception | None = None
        self.inside = False
        """Whether the backward pass of the part is running."""

    def run(self, compute: Callable[[], tuple[Tensor, ...]], inputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Compute outputs now; hold back an error of their backward pass, with gradients of 0 for the inputs.

        Args:
            compute: a function that returns the outputs.
            inputs: all tensors that the outputs depend on.
        """
        if not torch.is_grad_enabled():
            return compute()
        outputs: tuple[Tensor, ...] = _Guarded.apply(self, compute, *inputs)
        return outputs

    def bounded(self, value: Tensor) -> Tensor:
        """Return an input of the part at which the part's own backward pass ends.

        One input may be computed from another, or from a parameter that is an input as well. The part would otherwise
        follow that path, which the rest of the graph follows again.

        Args:
            value: an input of the part.
        """
        bounded: Tensor = _Bounded.apply(self, value)
        return bounded

    def tell(self, failed: list[int], rank: int) -> None:
        """Raise if a process has failed: its own error on the failed process, an error with its rank on the others.

        Args:
            failed: ranks of the failed processes.
            rank: rank of this process.

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


class _Bounded(torch.autograd.Function):
    """The identity; no gradient passes it while the backward pass of a guard's part is running."""

    @staticmethod
    def forward(ctx: Any, guard: Guard, value: Tensor) -> Tensor:
        ctx.guard = guard
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None if ctx.guard.inside else grad


class _Guarded(torch.autograd.Function):
    """A node that runs the backward pass of a part of the graph itself, so that it can catch an error there."""

    @staticmethod
    def forward(ctx: Any, guard: Guard, compute: Callable[[], tuple[Tensor, ...]], *inputs: Tensor) -> Any:
        with torch.enable_grad():
            outputs = compute()
        ctx.guard, ctx.inputs = guard, len(inputs)
        # Saving inputs and outputs keeps the inner graph exactly as long as autograd retains the outer graph.
        ctx.save_for_backward(*inputs, *outputs)
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        inputs, outputs = ctx.saved_tensors[: ctx.inputs], ctx.saved_tensors[ctx.inputs :]
        trained = [value for value in inputs if value.requires_grad]
        reached = [(output, grad) for output, grad in zip(outputs, grads, strict=True) if output.requires_grad]
        ctx.guard.inside = True
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
        finally:
            ctx.guard.inside = False
        each = iter(found)
        return None, None, *(next(each) if value.requires_grad else None for value in inputs)
