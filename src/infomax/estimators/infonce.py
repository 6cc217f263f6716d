"""InfoNCE as a module."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["InfoNCE"]


class InfoNCE(Estimator):
    """Pick the joint pair among a global's marginal ones: :func:`~infomax.functional.infonce_loss`.

    Example:
        >>> import torch
        >>> from infomax import InfoNCE, functional as F
        >>> scores = F.dense_scores(100.0 * torch.eye(8))
        >>> f"{InfoNCE().mutual_information(scores):.3f} nats, the ceiling log 8"
        '2.079 nats, the ceiling log 8'
    """

    bias = "down, at most log(1 + K)"
    variance = "low"

    def forward(self, scores: PairScores) -> Tensor:
        return F.infonce_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.infonce_estimate(scores)
