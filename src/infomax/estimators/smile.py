"""SMILE: trained by Jensen-Shannon, with a clipped Donsker-Varadhan as the estimate (Song & Ermon 2020)."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_number
from infomax.estimators.base import Estimator
from infomax.estimators.jensen_shannon import jsd_loss
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import ClippedScores, PairScores
from infomax.scores.base import takes_scores

__all__ = ["SMILE", "smile_estimate"]


@takes_scores
def smile_estimate(scores: PairScores, *, clip: float | None = 5.0) -> Tensor:
    r"""Estimate the mutual information in nats by Donsker-Varadhan with clipped marginal scores.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^{\mathrm{clip}(T, -c, c)}]

    Clipping lowers the variance and adds some bias. The estimate is no longer a bound.

    Args:
        scores: joint and marginal scores of a critic close to the log density ratio; train it with
            :func:`~infomax.functional.jsd_loss`.
        clip: c; None gives Donsker-Varadhan itself.

    Returns:
        Scalar in nats.

    Source:
        Song & Ermon 2020, "Understanding the limitations of variational mutual information estimators", eq. 17.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.smile_estimate(F.dense_scores(torch.zeros(4, 4)), clip=5.0)
        tensor(0.)
    """
    marginal = (scores if clip is None else ClippedScores(scores, clip)).reduce("logsumexp").marginal
    return scores.joint().mean() - log_mean_exp_marginal(scores, marginal)


class SMILE(Estimator):
    """The Jensen-Shannon loss, with a clipped Donsker-Varadhan estimate: :func:`~infomax.functional.smile_estimate`.

    Args:
        clip: bound on the magnitude of marginal scores in the estimate; None gives Donsker-Varadhan itself.

    Raises:
        TypeError: clip is not a number.
        ValueError: clip is not positive and finite.

    Example:
        >>> import torch
        >>> from infomax import SMILE, functional as F
        >>> SMILE(clip=5.0).mutual_information(F.dense_scores(torch.zeros(4, 4)))
        tensor(0.)
    """

    bound = "none"
    bias = "up: the largest marginal scores are cut"
    variance = "moderate: bounded by clip"
    directional = False

    def __init__(self, *, clip: float | None = 5.0) -> None:
        super().__init__()
        self.clip = None if clip is None else check_number("clip", clip, above=0)

    def forward(self, scores: PairScores) -> Tensor:
        return jsd_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return smile_estimate(scores, clip=self.clip)

    def per_global(self, scores: PairScores) -> Tensor:
        return jsd_loss(scores, reduction="none")

    def extra_repr(self) -> str:
        return f"clip={self.clip}"
