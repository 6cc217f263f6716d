"""Scores whose marginal pairs reach over all processes."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Shares, all_gather_rows, gather_pairing
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.dense import DenseScores
from infomax.scores.streamed import StreamedScores

__all__ = ["GatheredScores", "gather_scores"]


class GatheredScores(PairScores):
    """Scores of the globals of this process with the locals of all, whose reductions are read for all processes.

    Args:
        inner: scores of our globals with all locals.
        pairing: of all globals with all locals.
        shares: how the batch is spread over the processes.
    """

    def __init__(self, inner: PairScores, pairing: Pairing, shares: Shares) -> None:
        super().__init__(pairing)
        self.inner = inner
        self.shares = shares

    def scaled(self, factor: float) -> GatheredScores:
        return GatheredScores(self.inner.scaled(factor), self.pairing, self.shares)

    def shifted(self, constant: float) -> GatheredScores:
        return GatheredScores(self.inner.shifted(constant), self.pairing, self.shares)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        ours = self.inner.reduce_clipped(reduction, clip, soft_clip)
        q = self.pairing.globals_
        joints, globals_ = [keys * q for keys in self.shares.joint_keys], [n * q for n in self.shares.examples]
        # Both vectors in one collective.
        both = all_gather_rows(torch.cat(ours), [j + m for j, m in zip(joints, globals_, strict=True)])
        parts = torch.split(both, [size for pair in zip(joints, globals_, strict=True) for size in pair])
        return Reduced(torch.cat(parts[0::2]), torch.cat(parts[1::2]))

    def joint(self) -> Tensor:
        return self._once("joint", self._joint)

    def _joint(self) -> Tensor:
        return all_gather_rows(self.inner.joint(), [keys * self.pairing.globals_ for keys in self.shares.joint_keys])


def gather_scores(scores: PairScores, shares: Shares) -> PairScores:
    """Extend the marginal pairs to the locals of all processes.

    Args:
        scores: what a critic made of the features of this process.
        shares: how the batch is spread over the processes.

    Raises:
        TypeError: the scores come from an explicit table, which has no rows to gather.
    """
    if not isinstance(scores, StreamedScores | DenseScores):
        raise TypeError(
            f"scores must be streamed or dense to gather negatives, got {type(scores).__name__}: a table has no rows"
        )
    ours, everybody = gather_pairing(scores.pairing, shares)
    return GatheredScores(scores.with_keys(all_gather_rows(scores.key, shares.keys), ours), everybody, shares)
