"""Joint pairs with a few marginal ones each, in the form that every estimator reads."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.layout import Pairing
from infomax.scores import PairScores
from infomax.scores.base import Reduced, Reduction
from infomax.scores.reductions import reduce_table

__all__ = ["PairedScores"]


class PairedScores(PairScores):
    """Scores of n joint pairs, and of K marginal pairs for each of them.

    Args:
        joint: (n,).
        marginal: (n, K).
    """

    def __init__(self, joint: Tensor, marginal: Tensor) -> None:
        super().__init__(Pairing(joint.shape[0], 1, torch.arange(joint.shape[0], device=joint.device), locations=1))
        self._joint_scores = joint
        self._marginal_scores = marginal

    def scaled(self, factor: float) -> PairedScores:
        return PairedScores(self._joint_scores * factor, self._marginal_scores * factor)

    def shifted(self, constant: float) -> PairedScores:
        """Return the same pairs with a constant added to every score."""
        return PairedScores(self._joint_scores + constant, self._marginal_scores + constant)

    def joint(self) -> Tensor:
        return self._joint_scores

    def count(self) -> Tensor:
        return torch.full_like(self._joint_scores, self._marginal_scores.shape[1], dtype=torch.float32)

    def _reduce(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        everything = torch.ones_like(self._marginal_scores, dtype=torch.bool)
        marginal = reduce_table(self._marginal_scores, everything, reduction, clip, soft_clip)
        return Reduced(self._joint_scores, marginal)
