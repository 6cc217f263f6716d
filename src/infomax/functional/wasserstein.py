"""The Wasserstein dependency measure (Ozair et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from infomax.functional.means import mean_difference
from infomax.scores import PairScores

__all__ = ["wasserstein_dependency", "wasserstein_loss"]


def wasserstein_loss(scores: PairScores) -> Tensor:
    r"""Minus the Wasserstein dependency measure: minus :func:`wasserstein_dependency`.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[T] \Big)

    No bound of the mutual information. It has no exponential and no ceiling of log K, and rewards what is far apart
    rather than what is rare: prefer it where the information is large. The critic must be Lipschitz, by its make
    (:class:`~infomax.LipschitzCritic`) or by :func:`~infomax.critics.gradient_penalty`; any other runs away.

    Args:
        scores: joint and marginal scores of a Lipschitz critic.

    Returns:
        Scalar, float32 (float64 for float64 scores); in the unit of the features' distance.

    Numerics:
        Linear in the scores.

    Source:
        Ozair et al. 2019, "Wasserstein dependency measure for representation learning", section 4.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.wasserstein_loss(F.dense_scores(0.5 * torch.eye(4)))
        tensor(-0.5000)
    """
    return -wasserstein_dependency(scores)


def wasserstein_dependency(scores: PairScores) -> Tensor:
    r"""How far the joint distribution is from the product of marginals, by a critic; from below.

    .. math:: \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[T]

    With a 1-Lipschitz critic a lower bound on the Wasserstein-1 distance of the two, by the Kantorovich-Rubinstein
    duality, and attained by the best of them.

    Args:
        scores: joint and marginal scores of a 1-Lipschitz critic.

    Returns:
        Scalar in the unit of the features' distance, *not* in nats.

    Source:
        As :func:`wasserstein_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.wasserstein_dependency(F.dense_scores(torch.full((4, 4), 7.0)))
        tensor(0.)
    """
    joint, total = scores.reduce("sum")
    return mean_difference(scores, joint, total)
