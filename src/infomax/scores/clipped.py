"""Clipping of scores."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_flag, check_number
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.reductions import bend

__all__ = ["ClippedScores"]


class ClippedScores(PairScores):
    """Scores clipped to [-clip, clip], both joint and marginal, like those of a critic that ends with this clipping.

    So an estimator that is a lower bound for any critic stays a lower bound. Use clipping if an estimator contains a
    bare exponential and scores may be large.

    Args:
        inner: the scores. They may already be clipped if ``soft`` is False.
        clip: c, the bound on the magnitude of the scores.
        soft: replace every score T by ``c tanh(T / c)``, whose gradient decreases towards the bound. If False, set
            scores beyond c or -c to that bound, where they have no gradient, and leave all others unchanged.

    Raises:
        TypeError: clip is not a number.
        ValueError: clip is not positive and finite. In a reduction: a soft clip is applied to clipped scores.

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
            # The reductions apply the tanh before the hard clip, not after it.
            kind = "softly" if self.soft else "hard"
            raise ValueError(
                f"a soft clip must come before other clips, got scores clipped {kind} at {self.clip}; apply it first"
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
