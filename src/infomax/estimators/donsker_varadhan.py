"""The Donsker-Varadhan bound."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import PairScores
from infomax.scores.base import takes_scores

__all__ = ["DonskerVaradhan", "dv_estimate", "dv_loss"]


@takes_scores
def dv_loss(scores: PairScores) -> Tensor:
    r"""Return minus the Donsker-Varadhan bound.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T] \Big)

    For a given critic, this is the tightest of the lower bounds. In small batches the estimate is biased upwards,
    because the logarithm of a batch mean is too low on average. The variance grows with e^I. Prefer this bound if the
    information is small and there are many pairs.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Numerics:
        Finite for every finite score. A constant added to all scores changes nothing.

    Source:
        Donsker & Varadhan 1983; Belghazi et al. 2018 (MINE), eq. 10; Hjelm et al. 2019, eq. 2.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.dv_loss(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """
    return -dv_estimate(scores)


@takes_scores
def dv_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by Donsker-Varadhan, a lower bound in the limit of large batches.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T]

    With both means taken over the true distributions, it is at most the mutual information, for any critic. The
    logarithm of a mean over a batch is too low on average, which makes the estimate too high. For example, with the
    exact critic of two Gaussians of 0.830 nats, the estimate from 8 examples is 0.860 on average.

    The estimate is also useful for a critic that another objective, such as Jensen-Shannon, has trained to be the log
    density ratio up to a constant.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar in nats.

    Source:
        As :func:`dv_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> f"{F.dv_estimate(F.dense_scores(torch.full((4, 4), 7.0))):.3f}"  # a constant critic gives 0
        '0.000'
    """
    joint, marginal = scores.reduce("logsumexp")
    return joint.mean() - log_mean_exp_marginal(scores, marginal)


class DonskerVaradhan(Estimator):
    """The Donsker-Varadhan bound: :func:`~infomax.functional.dv_loss`.

    Example:
        >>> import torch
        >>> from infomax import DonskerVaradhan, functional as F
        >>> DonskerVaradhan().mutual_information(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """

    bound = "asymptotic"
    bias = "up in small batches"
    variance = "high: grows as e^I"
    directional = False

    def forward(self, scores: PairScores) -> Tensor:
        return dv_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores)
