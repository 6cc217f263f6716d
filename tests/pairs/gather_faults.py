"""Failures on one of the processes: in the ops, in a critic or in a backward pass.

The other processes must end, too.
"""

from __future__ import annotations

import gc
import time
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import SHARES, TORCH, C, D
from torch import Tensor, nn

from infomax import Critic, LocalDIMLoss, PairScores, ops
from infomax.pairs import Pairing
from infomax.scores import StreamedScores, TableScores


def error_of(call: Any) -> str:
    said = "nothing was raised"
    try:
        call()
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        said = f"{type(error).__name__}: {error}"
    if TORCH < (2, 7):  # checkpointing keeps its hooks until the objects that the error refers to are collected
        gc.collect()
    return said


class Faulty(nn.Module):
    """A critic that scores aligned rows and fails on rank 1."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.embed = nn.Linear(D, C)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        if self.rank == 1 and len(local):
            raise RuntimeError("out of memory, say")
        return -(local - self.embed(global_)).square().sum(1)


class FaultyBackward(torch.autograd.Function):
    """The identity function, with a backward pass that fails."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raise RuntimeError("out of memory, say")


class FaultyLater(Faulty):
    """A critic that scores aligned rows and fails on rank 1 in the backward pass."""

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        scores = -(local - self.embed(global_)).square().sum(1)
        return FaultyBackward.apply(scores) if self.rank == 1 else scores


def scores_that_fail(rank: int) -> dict[str, Any]:
    """Fail on one rank in the pairwise ops, or in the backward pass of the scores, on the first or the second call."""
    found: dict[str, Any] = {}
    features = torch.randn(3, C, 4, requires_grad=True), torch.randn(3, D, requires_grad=True)
    original = ops.pairwise_with_joint

    def step(loss: nn.Module) -> None:
        loss(*features).backward()

    for gather in (True, "ring"):
        own = LocalDIMLoss(C, D, critic=FaultyLater(rank), gather=gather)
        found[f"own, {gather}, backward"] = error_of(lambda own=own: step(own))
        frozen = [part.detach() for part in features]
        found[f"own, {gather}, frozen"] = error_of(lambda own=own, frozen=frozen: own(*frozen).backward())
        loss = LocalDIMLoss(C, D, units=4, gather=gather)
        for place in ("forward", "backward"):
            for good_calls in range(2 if gather == "ring" else 1):
                calls = iter(range(100))

                def fail(*given: Any, options: Any = (place, good_calls, calls), **more: Any) -> Any:
                    where, good, made = options
                    if next(made) < good:
                        return original(*given, **more)
                    if where == "forward":
                        raise RuntimeError("out of memory, say")
                    marginal, joint = original(*given, **more)
                    return FaultyBackward.apply(marginal), joint

                if rank == 1:
                    ops.pairwise_with_joint = fail
                found[f"dot, {gather}, {place}, {good_calls}"] = error_of(lambda loss=loss: step(loss))
                ops.pairwise_with_joint = original
                step(loss)  # the processes are still in step
    return found


def later_than_scores(rank: int) -> tuple[str, float]:
    """Fail on one rank in the backward pass of a projection. The timeout ends the wait of the other ranks."""
    group = dist.new_group(list(range(len(SHARES))), timeout=timedelta(seconds=3))
    loss = LocalDIMLoss(C, D, units=4, gather=True, process_group=group)
    if rank == 1:
        loss.critic.local_projection.output.register_forward_hook(lambda _, given, rows: FaultyBackward.apply(rows))
    value = loss(torch.randn(3, C, 4), torch.randn(3, D))
    start = time.perf_counter()
    return error_of(value.backward), time.perf_counter() - start


class FaultyAtFirst(Critic):
    """A critic that fails on rank 1 in its first call, whatever the rows, and after it on all ranks or on none."""

    def __init__(self, local_dim: int, global_dim: int, *, table: bool = False) -> None:
        super().__init__(local_dim, global_dim)
        self.failing, self.table = dist.get_rank() == 1, table

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        if self.failing and self.table:
            return TableScores(torch.zeros(3, 3), None)
        if self.failing:
            raise RuntimeError("out of memory, say")
        return StreamedScores(global_, local, pairing)


def critics_that_always_fail() -> dict[str, Any]:
    """Fail on one rank in a user's critic that refuses an empty batch as well, or whose scores have no rows."""
    found: dict[str, Any] = {}
    features = torch.randn(3, C, 4), torch.randn(3, C)
    for gather in (True, "ring"):
        for table in (False, True):
            loss = LocalDIMLoss(C, C, critic=partial(FaultyAtFirst, table=table), gather=gather)
            found[f"always, {gather}{', table' * table}"] = error_of(lambda loss=loss: loss(*features))
            loss.critic.failing = False
            loss(*features)  # the processes are still in step
    return found


def critics_that_fail(rank: int) -> dict[str, Any]:
    """Fail on one rank in a critic: before, between and after the exchanges that the critic makes itself."""
    found: dict[str, Any] = critics_that_always_fail()
    features = torch.randn(3, C, 4), torch.randn(3, D)
    for gather in (True, "ring"):
        loss = LocalDIMLoss(C, D, critic=Faulty(rank), gather=gather)
        found[f"own, {gather}"] = error_of(lambda loss=loss: loss(*features))
    for place in ("global_projection.hidden", "local_projection.hidden", "local_projection.output"):
        torch.manual_seed(0)
        loss = LocalDIMLoss(C, D, units=4, gather=True)
        if rank == 1:

            def fail(layer: nn.Module, given: tuple[Tensor]) -> None:
                if len(given[0]):
                    raise RuntimeError("out of memory, say")

            hook = loss.critic.get_submodule(place).register_forward_pre_hook(fail)
        found[place] = error_of(lambda loss=loss: loss(*features))
        found[f"{place}, scores"] = error_of(lambda loss=loss: loss.scores(*features))
        found[f"{place}, measured"] = error_of(lambda loss=loss: loss.mutual_information(*features, gather=True))
        found[f"{place}, statistics"] = {name: buffer.clone() for name, buffer in loss.named_buffers()}
        if rank == 1:
            hook.remove()
        loss(*features).backward()  # the processes are still in step
    return found
