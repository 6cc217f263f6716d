"""Negatives from other processes, with gradients.

Losses call :func:`gather_scores` and nothing else. Each process scores its own globals against the locals of all
processes, and then sees the reductions of all globals: every process returns the loss that one process would give for
the whole batch. Averaged over processes, as DistributedDataParallel does, the gradients are those of that loss too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from infomax.layout import Pairing
from infomax.scores import DenseScores, PairScores, Reduced, Reduction, StreamedScores

__all__ = ["GatheredScores", "all_gather_rows", "gather_scores"]


class _AllGather(torch.autograd.Function):
    """Rows of all processes, in the order of ranks; backward sums each one's gradients over the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        longest = max(sizes)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: rows.shape[0]] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.clone(memory_format=torch.contiguous_format)  # it may serve elsewhere in the graph as it is
        dist.all_reduce(grad)
        return torch.split(grad, ctx.sizes)[dist.get_rank()], None


def _sizes(rows: Tensor) -> list[int]:
    size = torch.tensor([rows.shape[0]], device=rows.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return torch.cat(sizes).tolist()


def all_gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, whose numbers may differ; differentiable.

    Args:
        rows: (n, \\*rest), the same rest everywhere.

    Returns:
        (sum of n, \\*rest), in the order of ranks.
    """
    gathered: Tensor = _AllGather.apply(rows, _sizes(rows))
    return gathered


class GatheredScores(PairScores):
    """Scores of this process's globals with everybody's locals, whose reductions are read for all processes.

    Args:
        inner: scores of our globals, keys and pairing gathered.
    """

    def __init__(self, inner: PairScores) -> None:
        super().__init__(inner.pairing)
        self.inner = inner

    def scaled(self, factor: float) -> GatheredScores:
        return GatheredScores(self.inner.scaled(factor))

    def _reduce(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        joint, marginal = self.inner.reduce(reduction, clip, soft_clip)
        return Reduced(all_gather_rows(joint), all_gather_rows(marginal))

    def joint(self) -> Tensor:
        return all_gather_rows(self.inner.joint())

    def count(self) -> Tensor:
        return all_gather_rows(self.inner.count())

    def per_joint(self, values: Tensor) -> Tensor:
        pairing = self.pairing
        start = pairing.group_offset * pairing.globals_
        ours = values[start : start + pairing.examples * pairing.globals_]
        return all_gather_rows(self.inner.per_joint(ours))


def gather_scores(scores: PairScores) -> PairScores:
    """Extend the marginal pairs to the locals of all processes; without a process group of several, do nothing.

    Args:
        scores: what a critic made of this process's features.

    Raises:
        TypeError: the scores come from an explicit table, which has no rows to gather.
        ValueError: the processes disagree on the globals an example.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return scores
    if not isinstance(scores, StreamedScores | DenseScores):
        raise TypeError(
            f"scores must be streamed or dense to gather negatives, got {type(scores).__name__}: a table has no rows"
        )
    pairing = scores.pairing
    shape = torch.tensor([pairing.examples, pairing.globals_, scores.key.shape[0]], device=scores.key.device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    everybody = torch.stack(shapes).tolist()
    if len({globals_ for _, globals_, _ in everybody}) > 1:
        raise ValueError(
            "global_ must have the same number of locations on every process, got "
            f"{[globals_ for _, globals_, _ in everybody]}"
        )
    before = everybody[: dist.get_rank()]
    offset = sum(examples for examples, _, _ in before)
    gathered = Pairing(
        pairing.examples,
        pairing.globals_,
        all_gather_rows(pairing.key_group + offset),
        locations=pairing.locations,
        first=sum(keys for _, _, keys in before),
        joint_keys=scores.key.shape[0],
        group_offset=offset,
        total_examples=sum(examples for examples, _, _ in everybody),
    )
    return GatheredScores(scores.with_keys(all_gather_rows(scores.key), gathered))
