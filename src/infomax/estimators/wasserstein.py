"""The Wasserstein dependency measure (Ozair et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import mean_joint, mean_marginal
from infomax.scores import PairScores
from infomax.scores.base import takes_scores

__all__ = ["Wasserstein", "wasserstein_dependency", "wasserstein_loss"]


@takes_scores
def wasserstein_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Return minus the Wasserstein dependency measure: minus :func:`wasserstein_dependency`.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[T] \Big)

    This measure is not a bound on the mutual information. It contains no exponential and has no ceiling of log K, and
    it depends on the distances between features rather than on density ratios. So prefer it if the information is
    large. The critic must be Lipschitz, by construction (:class:`~infomax.LipschitzCritic`) or through
    :func:`~infomax.variants.gradient_penalty`. The scores of any other critic grow without limit.

    Args:
        scores: joint and marginal scores of a Lipschitz critic.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); in the unit of a distance between features.

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
    joint, total = scores.reduce("sum")
    return mean_marginal(scores, total, reduction) - mean_joint(scores, joint, reduction)


@takes_scores
def wasserstein_dependency(scores: PairScores) -> Tensor:
    r"""Return a lower bound on the distance of the joint distribution from the product of marginals.

    .. math:: \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[T]

    With a 1-Lipschitz critic this is a lower bound on the Wasserstein-1 distance of the two distributions, by
    Kantorovich-Rubinstein duality. The best 1-Lipschitz critic attains the distance.

    Args:
        scores: joint and marginal scores of a 1-Lipschitz critic.

    Returns:
        Scalar in the unit of a distance between features, *not* in nats.

    Source:
        As :func:`wasserstein_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.wasserstein_dependency(F.dense_scores(torch.full((4, 4), 7.0)))
        tensor(0.)
    """
    joint, total = scores.reduce("sum")
    return joint.mean() - mean_marginal(scores, total)


class Wasserstein(Estimator):
    """The Wasserstein dependency measure, for a Lipschitz critic: :func:`~infomax.functional.wasserstein_loss`.

    The measure is minus the loss, in the unit of a distance between features. The *estimate in nats* is
    Donsker-Varadhan of the same scores, a lower bound in the limit of large batches. It is loose, because a Lipschitz
    critic is not trained to be a log density ratio.

    Example:
        >>> import torch
        >>> from infomax import LipschitzCritic, LocalDIMLoss, Wasserstein
        >>> loss_fn = LocalDIMLoss(16, 8, estimator=Wasserstein(), critic=LipschitzCritic(16, 8, units=32))
        >>> loss_fn(torch.randn(4, 16, 2, 2), torch.randn(4, 8)).backward()
    """

    bound = "asymptotic"
    bias = "down: the critic is not a log density ratio"
    variance = "low where scores are within 1 or so"
    optimum = None  # the critic is a Kantorovich potential, not a log density ratio
    needs_lipschitz = True
    directional = False

    def forward(self, scores: PairScores) -> Tensor:
        return wasserstein_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return wasserstein_loss(scores, reduction="none")
