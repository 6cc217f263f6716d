"""Scores whose marginal pairs include the local rows of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from infomax._compiling import uncompiled
from infomax._precision import widened
from infomax.pairs.guard import Guard
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes, check_none_failed
from infomax.pairs.shares import Shares, gather_pairing, row_index
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.dense import DenseScores
from infomax.scores.ring import Groups, RingScores
from infomax.scores.streamed import StreamedScores

__all__ = ["GatheredScores", "check_gatherable", "gather_scores"]


class GatheredScores(PairScores):
    """Scores of all processes: each process scores its own globals with all locals, and the results are gathered.

    Args:
        inner: scores of the globals of this process with the locals of all processes.
        pairing: the pairing of all globals with all locals.
        shares: how the batch is spread over the processes.
        processes: the processes that share their rows.
        guard: holds back errors in the backward pass of ``inner``.
        error: the error of the critic on this process, where ``inner`` only takes its place in the exchanges.
    """

    def __init__(
        self,
        inner: StreamedScores | DenseScores | RingScores,
        pairing: Pairing,
        shares: Shares,
        processes: Processes,
        guard: Guard,
        error: Exception | None = None,
    ) -> None:
        super().__init__(pairing)
        self.inner = inner
        self.shares = shares
        self.processes = processes
        self.guard = guard
        self.error = error

    def _of(self, inner: StreamedScores | DenseScores | RingScores) -> GatheredScores:
        return GatheredScores(inner, self.pairing, self.shares, self.processes, self.guard, self.error)

    def scaled(self, factor: float) -> GatheredScores:
        return self._of(self.inner.scaled(factor))

    def shifted(self, constant: float) -> GatheredScores:
        return self._of(self.inner.shifted(constant))

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        q = self.pairing.globals_
        joints, globals_ = [keys * q for keys in self.shares.joint_keys], [n * q for n in self.shares.examples]
        # Gather both vectors in one collective.
        parts = self._shared(
            lambda: self.inner.reduce_clipped(reduction, clip, soft_clip),
            [size for pair in zip(joints, globals_, strict=True) for size in pair],
        )
        return Reduced(torch.cat(parts[0::2]), torch.cat(parts[1::2]))

    def joint(self) -> Tensor:
        return self._once("joint", self._joint)

    def _joint(self) -> Tensor:
        sizes = [keys * self.pairing.globals_ for keys in self.shares.joint_keys]
        return torch.cat(self._shared(lambda: (self.inner.joint(),), sizes))

    @uncompiled
    def _shared(self, compute: Callable[[], tuple[Tensor, ...]], sizes: list[int]) -> tuple[Tensor, ...]:
        """Compute the parts of this process, and gather those of all processes in one collective.

        If the computation raises an error on one process, every process raises one.

        Args:
            compute: returns the parts of this process.
            sizes: the lengths of all parts, process by process; every process has the same number of parts.
        """
        count = len(sizes) // self.processes.size
        sums = [sum(sizes[start : start + count]) for start in range(0, len(sizes), count)]
        error: Exception | None = None
        try:
            if isinstance(self.inner, RingScores):  # it guards its parts itself
                ours = torch.cat(compute())
            else:
                ours = torch.cat(self.guard.run(compute, self.inner.inputs()))
        except Exception as raised:  # noqa: BLE001 (raised below, when the other processes know)
            scores = self.inner.own if isinstance(self.inner, RingScores) else self.inner
            error, ours = raised, widened(scores.key.new_zeros(sums[self.processes.rank]))
        error = self.error or error  # the first one
        flagged = torch.cat([ours, ours.new_full((1,), float(error is not None))])
        whole = self.processes.gather_rows(flagged, [size + 1 for size in sums])
        if error is not None:
            raise error
        parts = torch.split(whole, [size + 1 for size in sums])
        failed = torch.stack([part[-1].detach() for part in parts]).nonzero().flatten().tolist()
        check_none_failed(failed, "the scores")
        return torch.split(torch.cat([part[:-1] for part in parts]), sizes)


def check_gatherable(directions: Iterable[PairScores]) -> None:
    """Raise ``TypeError`` if scores have no rows to gather."""
    for scores in directions:
        _gatherable(scores)


def _gatherable(scores: PairScores) -> StreamedScores | DenseScores:
    if not isinstance(scores, StreamedScores | DenseScores):
        raise TypeError(
            f"scores must be streamed or dense to gather negatives, got {type(scores).__name__}: a table has no rows"
        )
    return scores


def gather_scores(
    scores: PairScores, shares: Shares, processes: Processes, *, ring: bool = False, error: Exception | None = None
) -> PairScores:
    """Extend the marginal pairs to the local rows of all processes.

    Args:
        scores: the scores of the features of this process.
        shares: how the batch is spread over the processes.
        processes: the processes that share their rows.
        ring: whether to pass the local rows from process to process, instead of holding all of them at once.
        error: an error of this process; the first reduction raises it, because it informs the other processes.

    Raises:
        TypeError: the scores are neither streamed nor dense; a table, for example, has no rows to gather.
    """
    scores = _gatherable(scores)
    # The backward pass must make the same exchanges on every process. So if a side has a gradient on one process, it
    # gets one on all.
    query, key = (
        value.detach().requires_grad_() if shares.learns and not value.requires_grad else value
        for value in (scores.query, scores.key)
    )
    guard = Guard(holds=ring or shares.learns)
    index = row_index(scores.pairing, shares, processes)
    if ring:
        index = None if index is None else processes.gather_rows(index, shares.keys)
        ours, everybody = gather_pairing(scores.pairing, shares, processes, index)
        alone = scores.pairing.marginal_rows is not None  # only given negatives are marginal; they come last
        first = [joint * alone for joint in shares.joint_keys]
        sizes = [all_ - start for all_, start in zip(shares.keys, first, strict=True)]
        groups = None
        if shares.grouped:
            parts = [part[start:] for part, start in zip(torch.split(ours.key_group, shares.keys), first, strict=True)]
            groups = Groups(ours.query_group, parts, ours.groups)
        query, key = map(guard.bounded, processes.checked_backward([query, key], guard))
        own = scores.with_rows(query, key, scores.pairing)
        ring_scores = RingScores(own, sizes, processes, guard, groups)
        return GatheredScores(ring_scores, everybody, shares, processes, guard, error)
    key, index = processes.gather_indexed(key, index, shares.keys, guard)
    ours, everybody = gather_pairing(scores.pairing, shares, processes, index)
    query, key = guard.bounded(query), guard.bounded(key)
    return GatheredScores(scores.with_rows(query, key, ours), everybody, shares, processes, guard, error)
