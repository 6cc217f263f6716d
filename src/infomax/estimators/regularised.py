"""A wrapper that adds clipping and a penalty on large scores to any estimator."""

from __future__ import annotations

import math

from torch import Tensor

from infomax._checks import check_flag, check_number
from infomax.estimators.base import Estimator
from infomax.estimators.build import EstimatorLike, build_estimator
from infomax.scores import ClippedScores, PairScores
from infomax.scores.base import check_scores, takes_scores

__all__ = ["ScoreRegularised", "mean_square"]


@takes_scores
def mean_square(scores: PairScores) -> Tensor:
    r"""Return the mean squared score of all pairs, joint and marginal.

    .. math:: \frac{1}{J + \sum_y K_y} \Big( \sum_\mathrm{joint} T^2 + \sum_\mathrm{marginal} T^2 \Big)

    Added to a loss with a small weight, this penalty keeps scores from growing without limit.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar, float32 (float64 for float64 scores); in the squared unit of the scores.

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
    r"""Any estimator applied to clipped scores, plus a penalty on the squares of the scores before clipping.

    .. math:: \mathcal{L}\big(c \tanh(T / c)\big) + \lambda \, \mathbb{E}_\mathrm{all\ pairs}\big[T^2\big]

    Use it if scores grow without limit, as may happen in half precision or with long schedules. The estimate is
    computed from the clipped scores. A lower bound stays one, because it holds for any scores. An upper bound needs the
    scores of a density, so with clipped scores it bounds nothing.

    Args:
        estimator: a short name, or a module.
        weight: lambda; 0 leaves out the penalty.
        clip: c; None does not clip.
        soft: whether to apply the tanh above to every score. If False, scores beyond c or -c are set to that bound, and
            all others stay as they are.

    Raises:
        TypeError: the estimator is neither a name nor a module, or weight or clip is not a number.
        ValueError: the name is unknown, weight is negative, or clip is not positive and finite; in a call, ``soft`` is
            True and the scores are already clipped.

    Numerics:
        A score far beyond the bound has no gradient but that of the penalty, which pulls the score back. With
        ``soft=False`` this holds for every score beyond the bound.

    Source:
        Bachman, Hjelm & Buchwalter 2019 (AMDIM): weight 4e-2 (5e-2 in their code), and c tanh(T / c) with c = 20 (10 in
        later code).

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss, ScoreRegularised
        >>> loss_fn = LocalDIMLoss(16, 8, estimator=ScoreRegularised("infonce"), units=32)
        >>> loss_fn(torch.randn(4, 16, 2, 2), torch.randn(4, 8)).backward()
    """

    def __init__(
        self,
        estimator: EstimatorLike = "infonce",
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
        check_scores(scores)
        return scores if self.clip is None else ClippedScores(scores, self.clip, soft=self.soft)

    def ceiling(self, negatives: float) -> float:
        inner = getattr(self.estimator, "ceiling", lambda _: math.inf)(negatives)
        if self.clip is None:
            return inner
        # Scores in [-c, c] differ by at most 2 c, so the log density ratios that they express by 2 c / slope.
        slope = 1.0 if self.optimum is None else self.optimum.slope
        return min(inner, 2 * self.clip / slope)

    def extra_repr(self) -> str:
        return f"weight={self.weight}, clip={self.clip}, soft={self.soft}"
