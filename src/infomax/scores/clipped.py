"""Scores brought into an interval: the one way to clip."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_flag, check_number
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.reductions import bend

__all__ = ["ClippedScores"]


class ClippedScores(PairScores):
    """Scores brought into [-clip, clip], the joint ones too: what a critic with that output would give.

    A lower bound for any critic stays one. Use it where an estimator holds a bare exponential and scores may be large.

    Args:
        inner: the scores. A hard clip goes around clipped ones too, a soft clip does not.
        clip: c, the bound of their magnitude.
        soft: bend every score to ``c tanh(T / c)``, whose gradient fades towards the bound. False cuts it off there:
            a score within is left alone, one beyond passes no gradient.

    Raises:
        TypeError: clip is no number.
        ValueError: clip is not positive and finite. In a reduction: a soft clip goes around another clip.

    Source:
        Bachman, Hjelm & Buchwalter 2019 (AMDIM), for the soft form.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> from infomax.scores import ClippedScores
        >>> scores = F.dense_scores(50.0 * torch.eye(4))
        >>> F.dv_estimate(ClippedScores(scores, clip=20.0)), F.dv_estimate(ClippedScores(scores, clip=20.0, soft=True))
        (tensor(20.), tensor(19.7323))
    """

    def __init__(self, inner: PairScores, clip: float, *, soft: bool = False) -> None:
        super().__init__(inner.pairing)
        self.inner = inner
        self.clip = check_number("clip", clip, above=0)
        self.soft = check_flag("soft", soft)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        if soft_clip is not None:
            # A tanh of clipped scores is no clip of a tanh, which is what the reductions offer.
            kind = "softly" if self.soft else "hard"
            raise ValueError(
                f"a soft clip must come before other clips, got scores clipped {kind} at {self.clip}; clip softly first"
            )
        bounds = (clip, self.clip) if self.soft else (self.clip if clip is None else min(clip, self.clip), None)
        joint, marginal = self.inner.reduce_clipped(reduction, *bounds)
        return Reduced(self._clipped(joint), marginal)

    def joint(self) -> Tensor:
        return self._clipped(self.inner.joint())

    def _clipped(self, joint: Tensor) -> Tensor:
        return bend(joint, self.clip) if self.soft else joint.clamp(-self.clip, self.clip)

    def scaled(self, factor: float) -> PairScores:
        scaled = self.inner.scaled(factor)
        return ClippedScores(scaled, abs(factor) * self.clip, soft=self.soft) if factor else scaled

    def shifted(self, constant: float) -> PairScores:
        if constant:
            raise NotImplementedError("clipped scores cannot be shifted; shift them first, then clip")
        return self

    def count(self) -> Tensor:
        return self.inner.count()
