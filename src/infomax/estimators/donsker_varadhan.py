"""The Donsker-Varadhan bound."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["DonskerVaradhan", "dv_estimate", "dv_loss"]


def dv_loss(scores: PairScores) -> Tensor:
    r"""Minus the Donsker-Varadhan bound.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T] \Big)

    This is the tightest of the lower bounds for a given critic. In small batches the estimate is biased upwards,
    because the logarithm of a batch mean is too low on average. The variance grows with e^I. Prefer this bound where
    the information is small and there are many pairs.

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


def dv_estimate(scores: PairScores) -> Tensor:
    r"""Mutual information in nats by Donsker-Varadhan, a lower bound in the limit of large batches.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T]

    For any critic it is at most the mutual information where both means are taken over all pairs there are. The
    logarithm of a mean over a batch is too low on average, which makes the estimate too high: with the exact critic of
    two Gaussians of 0.830 nats, 8 examples read 0.860 on average.

    It also reads the information of a critic that another objective has trained to the log density ratio, up to a
    constant, as Jensen-Shannon does.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar in nats.

    Source:
        As :func:`dv_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> f"{F.dv_estimate(F.dense_scores(torch.full((4, 4), 7.0))):.3f}"  # a constant critic knows nothing
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
