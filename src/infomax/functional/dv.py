"""The Donsker-Varadhan bound, and SMILE, which clips its partition function."""

from __future__ import annotations

from torch import Tensor

from infomax.functional.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["dv_estimate", "dv_loss", "smile_estimate"]


def dv_loss(scores: PairScores) -> Tensor:
    r"""Minus the Donsker-Varadhan bound.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T] \Big)

    The tightest of the lower bounds for a given critic. The logarithm of a mean over a batch is biased upwards in
    small ones, and its variance grows with e^I: prefer it where the information is small and pairs are many.

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
    r"""Mutual information in nats by Donsker-Varadhan, a lower bound in expectation over pairs.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^T]

    Also reads the information off a critic that was trained by another objective and has reached the log density
    ratio up to a constant, such as the Jensen-Shannon one.

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


def smile_estimate(scores: PairScores, *, clip: float | None = 5.0) -> Tensor:
    r"""Donsker-Varadhan with the marginal scores clipped: less variance, some bias, no longer a bound.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \log \mathbb{E}_\mathrm{marginal}[e^{\mathrm{clip}(T, -c, c)}]

    Args:
        scores: joint and marginal scores of a critic near the log density ratio (train it with
            :func:`~infomax.functional.jsd_loss`).
        clip: c; None is Donsker-Varadhan itself.

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
    joint, marginal = scores.reduce("logsumexp", clip)
    return joint.mean() - log_mean_exp_marginal(scores, marginal)
