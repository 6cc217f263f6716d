"""Scores brought into an interval."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_clip
from infomax.scores.base import PairScores, Reduced, Reduction

__all__ = ["ClippedScores"]


class ClippedScores(PairScores):
    """Scores brought into [-clip, clip], the joint ones too: what a critic with that output would give.

    Args:
        inner: the scores.
        clip: bound of their magnitude. A score beyond it passes no gradient.

    Raises:
        TypeError: clip is no number.
        ValueError: clip is not positive.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> from infomax.scores import ClippedScores
        >>> scores = ClippedScores(F.dense_scores(50.0 * torch.eye(4)), clip=20.0)
        >>> F.dv_estimate(scores)
        tensor(20.)
    """

    def __init__(self, inner: PairScores, clip: float) -> None:
        super().__init__(inner.pairing)
        self.inner = inner
        check_clip(clip)
        self.clip = clip

    def _reduce(self, reduction: Reduction, clip: float | None) -> Reduced:
        bound = self.clip if clip is None else min(clip, self.clip)
        joint, marginal = self.inner.reduce(reduction, bound)
        return Reduced(joint.clamp(-self.clip, self.clip), marginal)

    def joint(self) -> Tensor:
        return self.inner.joint().clamp(-self.clip, self.clip)

    def scaled(self, factor: float) -> PairScores:
        scaled = self.inner.scaled(factor)
        return ClippedScores(scaled, abs(factor) * self.clip) if factor else scaled

    def count(self) -> Tensor:
        return self.inner.count()

    def per_joint(self, values: Tensor) -> Tensor:
        return self.inner.per_joint(values)
