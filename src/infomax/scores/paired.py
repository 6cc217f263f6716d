"""Given scores: one per joint pair, and K marginal scores for each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._precision import widened
from infomax.pairs.pairing import Pairing
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.reductions import reduce_table

__all__ = ["PairedScores"]


class PairedScores(PairScores):
    """Scores of n joint pairs, and of K marginal pairs for each of them; see :func:`~infomax.functional.paired_scores`.

    Args:
        joint: joint scores, (n,).
        marginal: marginal scores, (n, K).

    Example:
        >>> import torch
        >>> from infomax.scores import PairedScores
        >>> PairedScores(torch.tensor([2.0, 3.0]), torch.tensor([[0.0, 1.0], [1.0, 1.0]])).reduce("sum")
        Reduced(joint=tensor([2., 3.]), marginal=tensor([1., 2.]))
    """

    def __init__(self, joint: Tensor, marginal: Tensor) -> None:
        super().__init__(Pairing(joint.shape[0], 1, torch.arange(joint.shape[0], device=joint.device), locations=1))
        self._joint = widened(joint)
        self._marginal = widened(marginal)

    def scaled(self, factor: float) -> PairedScores:
        return PairedScores(self._joint * factor, self._marginal * factor)

    def shifted(self, constant: float) -> PairedScores:
        return PairedScores(self._joint + constant, self._marginal + constant)

    def joint(self) -> Tensor:
        return self._joint

    def count(self) -> Tensor:
        return torch.full_like(self._joint, self._marginal.shape[1], dtype=torch.float32)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        everything = torch.ones_like(self._marginal, dtype=torch.bool)
        return Reduced(self._joint, reduce_table(self._marginal, everything, reduction, clip, soft_clip))
