"""Clipping and a penalty on large scores, around any estimator."""

from __future__ import annotations

from torch import Tensor, nn

from infomax import functional as F
from infomax._checks import check_clip, check_number
from infomax.estimators.base import Estimator
from infomax.estimators.build import build_estimator
from infomax.scores import ClippedScores, PairScores

__all__ = ["ScoreRegularised"]


class ScoreRegularised(Estimator):
    r"""Any estimator on clipped scores, with a penalty on their squares before clipping.

    .. math:: \mathcal{L}\big(c \tanh(T / c)\big) + \lambda \, \mathbb{E}_\mathrm{all\ pairs}\big[T^2\big]

    For training that is lost to scores that grow without end, as may happen in half precision or with long schedules.
    The estimate is that of the clipped scores, so a lower bound, which any scores give, stays one; of a density nothing
    is left to bound.

    Args:
        estimator: a short name, or a module.
        weight: lambda; 0 leaves the penalty out.
        clip: c; None leaves the scores as they are.
        soft: bend every score, as above. False cuts scores off at c and -c, and does not bend those within.

    Raises:
        TypeError: the estimator is neither a name nor a module; weight or clip is no number.
        ValueError: the name is unknown, weight is negative, or clip is not positive (and finite where it is soft);
            in a call, ``soft`` and the scores are clipped already.

    Numerics:
        Far beyond the bound (cut off: anywhere beyond) a score has no gradient but that of the penalty, which brings it
        back.

    Source:
        Bachman, Hjelm & Buchwalter 2019 (AMDIM): 4e-2 (5e-2 in their code) and c tanh(T / c) with c = 20
        (10 in later code).

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss, ScoreRegularised
        >>> loss_fn = LocalDIMLoss(16, 8, estimator=ScoreRegularised("infonce"), units=32)
        >>> loss_fn(torch.randn(4, 16, 2, 2), torch.randn(4, 8)).backward()
    """

    def __init__(
        self,
        estimator: str | nn.Module = "infonce",
        *,
        weight: float = 4e-2,
        clip: float | None = 20.0,
        soft: bool = True,
    ) -> None:
        super().__init__()
        self.estimator = build_estimator(estimator)
        if not check_number("weight", weight) >= 0:
            raise ValueError(f"weight must be at least 0, got {weight}")
        self.weight = weight
        self.clip = check_clip(clip, soft=soft)
        self.soft = soft
        inner = self.estimator
        self.needs_density = getattr(inner, "needs_density", False)
        self.bias, self.variance = getattr(inner, "bias", ""), getattr(inner, "variance", "")
        self.bound = getattr(inner, "bound", "none")
        if self.bound == "upper" and clip is not None:
            self.bound = "none"

    def forward(self, scores: PairScores) -> Tensor:
        loss: Tensor = self.estimator(self._clipped(scores))
        return loss + self.weight * F.mean_square(scores) if self.weight else loss

    def _estimate(self, scores: PairScores) -> Tensor:
        return self.estimator.mutual_information(self._clipped(scores))

    def _clipped(self, scores: PairScores) -> PairScores:
        return scores if self.clip is None else ClippedScores(scores, self.clip, soft=self.soft)

    def extra_repr(self) -> str:
        return f"weight={self.weight}, clip={self.clip}, soft={self.soft}"
