"""Scores whose marginal pairs reach over all processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from infomax._precision import widened
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes
from infomax.pairs.shares import Shares, gather_pairing
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.dense import DenseScores
from infomax.scores.ring import RingScores
from infomax.scores.streamed import StreamedScores

__all__ = ["GatheredScores", "gather_scores"]


class GatheredScores(PairScores):
    """Scores of the globals of this process with the locals of all, whose reductions are read for all processes.

    Args:
        inner: scores of our globals with all locals.
        pairing: of all globals with all locals.
        shares: how the batch is spread over the processes.
        processes: which share their rows.
    """

    def __init__(
        self, inner: StreamedScores | DenseScores | RingScores, pairing: Pairing, shares: Shares, processes: Processes
    ) -> None:
        super().__init__(pairing)
        self.inner = inner
        self.shares = shares
        self.processes = processes

    def scaled(self, factor: float) -> GatheredScores:
        return GatheredScores(self.inner.scaled(factor), self.pairing, self.shares, self.processes)

    def shifted(self, constant: float) -> GatheredScores:
        return GatheredScores(self.inner.shifted(constant), self.pairing, self.shares, self.processes)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        q = self.pairing.globals_
        joints, globals_ = [keys * q for keys in self.shares.joint_keys], [n * q for n in self.shares.examples]
        # Both vectors in one collective.
        parts = self._shared(
            lambda: torch.cat(self.inner.reduce_clipped(reduction, clip, soft_clip)),
            [size for pair in zip(joints, globals_, strict=True) for size in pair],
        )
        return Reduced(torch.cat(parts[0::2]), torch.cat(parts[1::2]))

    def joint(self) -> Tensor:
        return self._once("joint", self._joint)

    def _joint(self) -> Tensor:
        sizes = [keys * self.pairing.globals_ for keys in self.shares.joint_keys]
        return torch.cat(self._shared(self.inner.joint, sizes))

    def _shared(self, compute: Callable[[], Tensor], sizes: list[int]) -> tuple[Tensor, ...]:
        """What each process computes, in parts of these sizes, as many parts of each; one collective.

        A critic of dense scores runs here: where it raises an error, it does so on every process. That costs a wait for
        the device, which streamed scores are spared.
        """
        scores = self.inner.own if isinstance(self.inner, RingScores) else self.inner
        count = len(sizes) // self.processes.size
        sums = [sum(sizes[start : start + count]) for start in range(0, len(sizes), count)]
        if not isinstance(scores, DenseScores):
            return torch.split(self.processes.gather_rows(compute(), sums), sizes)
        error: Exception | None = None
        try:
            ours = compute()
        except Exception as raised:  # noqa: BLE001 (it is raised below, after the others know)
            error, ours = raised, widened(scores.key.new_zeros(sums[self.processes.rank]))
        flagged = torch.cat([ours, ours.new_full((1,), float(error is not None))])
        whole = self.processes.gather_rows(flagged, [size + 1 for size in sums])
        if error is not None:
            raise error
        parts = torch.split(whole, [size + 1 for size in sums])
        failed = torch.stack([part[-1].detach() for part in parts]).nonzero().flatten().tolist()
        if failed:
            raise RuntimeError(
                f"gather=True needs the scores of every process, and the critic of rank {', '.join(map(str, failed))} "
                "raised an error; its message is in the log of that process"
            )
        return torch.split(torch.cat([part[:-1] for part in parts]), sizes)


def gather_scores(scores: PairScores, shares: Shares, processes: Processes, *, ring: bool = False) -> PairScores:
    """Extend the marginal pairs to the locals of all processes.

    Args:
        scores: what a critic made of the features of this process.
        shares: how the batch is spread over the processes.
        processes: which share their rows.
        ring: let the locals go round, instead of holding those of all processes at once.

    Raises:
        TypeError: the scores come from an explicit table, which has no rows to gather.
    """
    if not isinstance(scores, StreamedScores | DenseScores):
        raise TypeError(
            f"scores must be streamed or dense to gather negatives, got {type(scores).__name__}: a table has no rows"
        )
    ours, everybody = gather_pairing(scores.pairing, shares, processes)
    if ring:
        alone = scores.pairing.marginal_rows is not None  # given negatives are the only marginal rows, and come last
        sizes = [all_ - joint * alone for all_, joint in zip(shares.keys, shares.joint_keys, strict=True)]
        return GatheredScores(RingScores(scores, sizes, processes), everybody, shares, processes)
    key = processes.gather_rows(scores.key, shares.keys)
    return GatheredScores(scores.with_rows(scores.query, key, ours), everybody, shares, processes)
