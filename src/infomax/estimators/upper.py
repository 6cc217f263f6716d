"""Bounds from above as modules: CLUB and leave-one-out."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["CLUB", "LeaveOneOut"]


class CLUB(Estimator):
    """A bound from above by a conditional density: :func:`~infomax.functional.club_estimate`.

    The loss fits the density by maximum likelihood (:func:`~infomax.functional.likelihood_loss`): give it features
    without a gradient. To make the information of features *small*, minimise the estimate's function by them and this
    loss by the density, in turn.

    Example:
        >>> import torch
        >>> from infomax import CLUB, GaussianCritic, functional as F
        >>> density = GaussianCritic(16, 8, units=32)
        >>> local, global_ = torch.randn(4, 16, requires_grad=True), torch.randn(4, 8)
        >>> CLUB()(density(local.detach(), global_)).backward()  # trains the density
        >>> F.club_estimate(density(local, global_)).backward()  # lowers the information, by the features
    """

    bound = "upper"
    needs_density = True
    bias = "up, by the reverse KL divergence"
    variance = "grows with the spread of log densities"

    def forward(self, scores: PairScores) -> Tensor:
        return F.likelihood_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.club_estimate(scores)


class LeaveOneOut(Estimator):
    """A bound from above by a conditional density: :func:`~infomax.functional.leave_one_out_estimate`.

    Fitted and used as :class:`CLUB`.

    Example:
        >>> import torch
        >>> from infomax import GaussianCritic, LeaveOneOut
        >>> density = GaussianCritic(16, 8, units=32)
        >>> scores = density(torch.randn(4, 16), torch.randn(4, 8))
        >>> LeaveOneOut()(scores).backward()
        >>> nats = LeaveOneOut().mutual_information(scores)
    """

    bound = "upper"
    needs_density = True
    bias = "up, vanishing with K"
    variance = "moderate"

    def forward(self, scores: PairScores) -> Tensor:
        return F.likelihood_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.leave_one_out_estimate(scores)
