"""The bound of Nguyen, Wainwright & Jordan: the f-divergence form of the KL divergence."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator, OptimalCritic
from infomax.estimators.means import log_mean_exp_marginal, mean_joint
from infomax.scores import PairScores
from infomax.scores.base import takes_scores

__all__ = ["NWJ", "nwj_estimate", "nwj_loss"]


@takes_scores
def nwj_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Return minus the Nguyen-Wainwright-Jordan bound, the f-divergence form of the KL divergence.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[e^{T - 1}] \Big)

    NWJ is a lower bound on the mutual information, and its estimate is unbiased for every batch size. For the same
    critic it is looser than Donsker-Varadhan. Its variance is high if the information is large. At the optimum T is 1
    plus the log density ratio.

    Args:
        scores: joint and marginal scores.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); minus the estimate in nats.

    Numerics:
        Contains a bare exponential: scores above about 88 overflow float32. If scores may become so large, clip them
        with :class:`~infomax.scores.ClippedScores` or :class:`~infomax.ScoreRegularised`.

    Source:
        Nguyen, Wainwright & Jordan 2010; Nowozin et al. 2016, table 2 (KL).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.nwj_loss(F.dense_scores(torch.ones(4, 4)))  # a constant critic of 1 gives 0
        tensor(0.)
    """
    joint, marginal = scores.reduce("logsumexp")
    partition = (log_mean_exp_marginal(scores, marginal, reduction) - 1).exp()
    return partition - mean_joint(scores, joint, reduction)


@takes_scores
def nwj_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by Nguyen, Wainwright & Jordan, a lower bound.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[e^{T - 1}]

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar in nats.

    Source:
        As :func:`nwj_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.nwj_estimate(F.dense_scores(torch.ones(4, 4)))
        tensor(0.)
    """
    joint, marginal = scores.reduce("logsumexp")
    return joint.mean() - (log_mean_exp_marginal(scores, marginal) - 1).exp()


class NWJ(Estimator):
    """The Nguyen-Wainwright-Jordan bound: :func:`~infomax.functional.nwj_loss`.

    Example:
        >>> import torch
        >>> from infomax import NWJ, functional as F
        >>> NWJ().mutual_information(F.dense_scores(torch.ones(4, 4)))
        tensor(0.)
    """

    bias = "none"
    variance = "high: grows as e^I"
    directional = False
    optimum = OptimalCritic(1.0, 1.0)

    def forward(self, scores: PairScores) -> Tensor:
        return nwj_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return nwj_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return nwj_loss(scores, reduction="none")
