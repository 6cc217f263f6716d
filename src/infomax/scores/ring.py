"""Scores with the local rows of all processes, which are passed from process to process in a ring."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infomax._precision import accumulation_dtype, autocasting, widened
from infomax._random import random_state, replayed
from infomax.ops.settings import forced_again, forced_now
from infomax.pairs.guard import Guard
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.dense import DenseScores
from infomax.scores.reductions import logsumexp
from infomax.scores.streamed import StreamedScores

__all__ = ["Groups", "RingScores"]


class Groups(NamedTuple):
    """Groups, numbered alike on all processes."""

    global_: Tensor
    """Groups of the globals of this process, (M,)."""
    local: list[Tensor]
    """Groups of the marginal local rows of each process."""
    number: int
    """Number of groups."""


class RingScores(PairScores):
    """Scores of the globals of this process with the locals of all processes, which travel around a ring.

    Each process holds the local rows of one other process at a time, and of two during an exchange. In the backward
    pass the rows travel around the ring once more, with their gradients. So the memory does not grow with the number of
    processes.

    Args:
        own: scores of the globals of this process with its own locals.
        sizes: for each process, how many of its local rows are marginal for the globals of the other processes.
        processes: the processes that share their rows.
        guard: holds back errors of the backward pass.
        groups: the :class:`Groups` of all processes if rows of other processes may be excluded, else None.
    """

    def __init__(
        self,
        own: StreamedScores | DenseScores,
        sizes: list[int],
        processes: Processes,
        guard: Guard,
        groups: Groups | None = None,
    ) -> None:
        super().__init__(own.pairing)
        self.own = own
        self.sizes = sizes
        self.processes = processes
        self.guard = guard
        self.groups = groups

    def _of(self, own: StreamedScores | DenseScores) -> RingScores:
        return RingScores(own, self.sizes, self.processes, self.guard, self.groups)

    def scaled(self, factor: float) -> RingScores:
        return self._of(self.own.scaled(factor))

    def shifted(self, constant: float) -> RingScores:
        return self._of(self.own.shifted(constant))

    def joint(self) -> Tensor:
        (joint,) = self.guard.run(lambda: (self.own.joint(),), self.own.inputs())
        return joint

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        rotation = _Rotation(self.own, self.sizes, self.processes, self.guard, self.groups, reduction, clip, soft_clip)
        rows = self.pairing.marginal_rows
        key = self.own.key if rows is None else self.own.key[rows]
        parameters = self.own.parameters if isinstance(self.own, DenseScores) else ()
        try:
            joint, marginal = self.guard.run(
                lambda: self.own.reduce_clipped(reduction, clip, soft_clip), self.own.inputs()
            )
        except Exception:  # the other processes still need the rows
            rotation.rotate(key.detach())
            raise
        others: Tensor = _Ring.apply(rotation, self.own.query, key, *parameters)
        return Reduced(joint, _joined(reduction, marginal, others))


class _Rotation(NamedTuple):
    """One rotation of the local rows around the ring, and the reduction that is computed at each stop."""

    scores: StreamedScores | DenseScores
    sizes: list[int]
    processes: Processes
    guard: Guard
    groups: Groups | None
    reduction: Reduction
    clip: float | None
    soft_clip: float | None

    def sources(self) -> list[int]:
        """Return the processes whose rows arrive here, in order."""
        rank, size = self.processes.rank, self.processes.size
        return [(rank - step) % size for step in range(1, size)]

    def rotate(self, key: Tensor, visit: Callable[[Tensor, int], object] | None = None) -> None:
        """Pass the rows of all processes around; raise an error only at the end, as other processes need the rows."""
        error: Exception | None = None
        for source in self.sources():
            (key,) = self.processes.pass_on([key], self.sizes[source])
            try:
                if error is None and visit is not None:
                    visit(key, source)
            except Exception as raised:  # noqa: BLE001
                error = raised
        if error is not None:
            raise error

    def reduce_held(self, query: Tensor, key: Tensor, source: int) -> Tensor:
        """Reduce the scores of our globals with the marginal locals of another process."""
        if self.groups is None:
            groups = Groups(query.new_ones(len(query), dtype=torch.int64), [], 2)
            key_group = key.new_zeros(len(key), dtype=torch.int64)
        else:
            groups = self.groups
            key_group = groups.local[source]
        pairing = Pairing(
            len(query), 1, key_group[:0], key_group=key_group, query_group=groups.global_, groups=groups.number
        )
        scores = self.scores.with_rows(query, key, pairing)
        if isinstance(scores, DenseScores):
            return scores.marginal(self.reduction, self.clip, self.soft_clip)
        return scores.reduce_clipped(self.reduction, self.clip, self.soft_clip).marginal


def _joined(reduction: Reduction, one: Tensor, other: Tensor) -> Tensor:
    return logsumexp(torch.stack([one, other], -1)) if reduction == "logsumexp" else one + other


class _Ring(torch.autograd.Function):
    """The reduction over the local rows of all other processes."""

    @staticmethod
    def forward(ctx: Any, rotation: _Rotation, query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        ctx.states = []
        start = -torch.inf if rotation.reduction == "logsumexp" else 0.0
        total = torch.full((len(query),), start, dtype=accumulation_dtype(query.dtype), device=query.device)

        def visit(held: Tensor, source: int) -> None:
            nonlocal total
            ctx.states.append(random_state([held]))
            total = _joined(rotation.reduction, total, rotation.reduce_held(query, held, source))

        rotation.rotate(key, visit)
        device = key.device.type
        ctx.autocast = torch.get_autocast_dtype(device) if autocasting(device) else None
        ctx.forced = forced_now()
        ctx.rotation, ctx.parameters = rotation, parameters
        ctx.save_for_backward(query, key, total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "gather='ring' has no second derivative; gather=True has one, under "
                'infomax.ops.use_backend("reference")'
            )
        query, key, total = ctx.saved_tensors
        rotation: _Rotation = ctx.rotation
        held, held_grad = key, key.new_zeros(0)
        grads: list[Tensor | None] = [None] * (1 + len(ctx.parameters))
        for number, (source, state) in enumerate(zip(rotation.sources(), ctx.states, strict=True)):
            load = [held, held_grad] if number else [held]
            held, *rest = rotation.processes.pass_on(load, rotation.sizes[source])
            del load  # the rows of the process before
            held_grad = rest[0] if rest else widened(torch.zeros_like(held))
            if rotation.guard.error is not None:
                continue
            try:
                found = _gradients_of_held(ctx, grad, query, held, source, total, state)
            except Exception as error:  # noqa: BLE001 (others need the rows; raised when all know)
                rotation.guard.error = error
                continue
            held_grad += found[1]
            for place, value in enumerate((found[0], *found[2:])):
                before = grads[place]
                grads[place] = value if before is None else before + value
        del held
        (home,) = rotation.processes.pass_on([held_grad], len(key))
        return None, None if grads[0] is None else grads[0].to(query.dtype), home.to(key.dtype), *grads[1:]


def _gradients_of_held(
    ctx: Any, grad: Tensor, query: Tensor, held: Tensor, source: int, total: Tensor, state: Any
) -> tuple[Tensor, ...]:
    """Return the gradients of query, key and parameters at one stop; the first two in the accumulation dtype."""
    query, held = query.detach().requires_grad_(), held.detach().requires_grad_()
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(replayed(state))
        stack.enter_context(forced_again(ctx.forced))
        if ctx.autocast is not None:
            stack.enter_context(torch.autocast(held.device.type, dtype=ctx.autocast))
        part = ctx.rotation.reduce_held(query, held, source)
    if ctx.rotation.reduction == "logsumexp":
        share = (part.detach() - total).exp()
        grad = grad * torch.where(total == -torch.inf, 0.0, share)
    inputs = [query, held, *ctx.parameters]
    by_query, by_key, *rest = torch.autograd.grad(part, inputs, grad, materialize_grads=True)
    return widened(by_query), widened(by_key), *rest
