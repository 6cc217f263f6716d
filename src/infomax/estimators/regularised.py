"""Clipping and a penalty on large scores, around any estimator."""

from __future__ import annotations

import math

from torch import Tensor, nn

from infomax._checks import check_flag, check_number
from infomax.estimators.base import Estimator
from infomax.estimators.build import build_estimator
from infomax.scores import ClippedScores, PairScores

__all__ = ["ScoreRegularised", "mean_square"]


def mean_square(scores: PairScores) -> Tensor:
    r"""Mean of the squared scores of all pairs, joint and marginal.

    .. math:: \frac{1}{J + \sum_y K_y} \Big( \sum_\mathrm{joint} T^2 + \sum_\mathrm{marginal} T^2 \Big)

    Added to a loss with a small weight, it keeps scores from growing without limit.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar, float32 (float64 for float64 scores); the square of the scores' unit.

    Numerics:
        Overflows float32 at scores of 1e19.

    Source:
        Bachman, Hjelm & Buchwalter 2019 (AMDIM).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.mean_square(F.dense_scores(torch.full((4, 4), 3.0)))
        tensor(9.)
    """
    joint, squares = scores.reduce("square_sum")
    pairs = scores.count().to(squares.dtype).sum() + joint.numel()
    return (joint.square().sum() + squares.sum()) / pairs


class ScoreRegularised(Estimator):
    r"""Any estimator on clipped scores, with a penalty on their squares before clipping.

    .. math:: \mathcal{L}\big(c \tanh(T / c)\big) + \lambda \, \mathbb{E}_\mathrm{all\ pairs}\big[T^2\big]

    Use it where scores grow without limit, as may happen in half precision or with long schedules. The estimate is that
    of the clipped scores. A lower bound holds for any scores, so it stays one. An upper bound needs the scores of a
    density, so clipping makes it bound nothing.

    Args:
        estimator: a short name, or a module.
        weight: lambda; 0 leaves the penalty out.
        clip: c; None leaves the scores as they are.
        soft: bend every score, as above. False cuts scores off at c and -c, and does not bend those within.

    Raises:
        TypeError: the estimator is neither a name nor a module; weight or clip is no number.
        ValueError: the name is unknown, weight is negative, or clip is not positive and finite;
            in a call, ``soft`` and the scores are clipped already.

    Numerics:
        Far beyond the bound, a score has only the gradient of the penalty, which brings it back. With ``soft=False``
        this holds anywhere beyond the bound.

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
        self.weight = check_number("weight", weight, at_least=0)
        self.clip = None if clip is None else check_number("clip", clip, above=0)
        self.soft = check_flag("soft", soft)
        inner = self.estimator
        for fact in ("needs_density", "fits_density", "needs_lipschitz", "needs_two_critics"):
            setattr(self, fact, getattr(inner, fact, False))
        self.optimum = getattr(inner, "optimum", None)
        self.directional = getattr(inner, "directional", True)
        self.bias, self.variance = getattr(inner, "bias", ""), getattr(inner, "variance", "")
        self.bound = getattr(inner, "bound", "none")
        if self.bound == "upper" and clip is not None:
            self.bound = "none"

    def forward(self, scores: PairScores) -> Tensor:
        loss: Tensor = self.estimator(self._clipped(scores))
        return loss + self.weight * mean_square(scores) if self.weight else loss

    def estimate(self, scores: PairScores) -> Tensor:
        read = getattr(self.estimator, "estimate", self.estimator.mutual_information)
        return read(self._clipped(scores))

    def _clipped(self, scores: PairScores) -> PairScores:
        return scores if self.clip is None else ClippedScores(scores, self.clip, soft=self.soft)

    def ceiling(self, negatives: float) -> float:
        inner = getattr(self.estimator, "ceiling", lambda _: math.inf)(negatives)
        if self.clip is None:
            return inner
        # Scores in [-c, c] tell joint from marginal pairs by 2 c at most, in units of the optimal critic's slope.
        slope = 1.0 if self.optimum is None else self.optimum.slope
        return min(inner, 2 * self.clip / slope)

    def extra_repr(self) -> str:
        return f"weight={self.weight}, clip={self.clip}, soft={self.soft}"
