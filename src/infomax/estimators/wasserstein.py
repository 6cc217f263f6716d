"""The Wasserstein dependency measure as a module."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["Wasserstein"]


class Wasserstein(Estimator):
    """The Wasserstein dependency measure, for a Lipschitz critic: :func:`~infomax.functional.wasserstein_loss`.

    Its value is minus the loss, in the unit of the features' distance. The *estimate in nats* puts the same critic into
    Donsker-Varadhan, a lower bound for any critic: certain, and loose, because a Lipschitz critic is not trained to
    be a log density ratio.

    Example:
        >>> import torch
        >>> from infomax import LipschitzCritic, LocalDIMLoss, Wasserstein
        >>> loss_fn = LocalDIMLoss(16, 8, estimator=Wasserstein(), critic=LipschitzCritic(16, 8, units=32))
        >>> loss_fn(torch.randn(4, 16, 2, 2), torch.randn(4, 8)).backward()
    """

    bias = "down: its critic is no log ratio"
    variance = "low where scores are within 1 or so"

    def forward(self, scores: PairScores) -> Tensor:
        return F.wasserstein_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)
