"""Donsker-Varadhan as a module, and MINE, which corrects its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax import functional as F
from infomax.estimators.average import check_rate, log_average_with
from infomax.estimators.base import Estimator
from infomax.functional.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["MINE", "DonskerVaradhan"]


class DonskerVaradhan(Estimator):
    """The Donsker-Varadhan bound: :func:`~infomax.functional.dv_loss`.

    Example:
        >>> import torch
        >>> from infomax import DonskerVaradhan, functional as F
        >>> DonskerVaradhan().mutual_information(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """

    bias = "up in small batches"
    variance = "high: grows as e^I"

    def forward(self, scores: PairScores) -> Tensor:
        return F.dv_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


class MINE(Estimator):
    """Donsker-Varadhan with a bias-corrected gradient: :func:`~infomax.functional.mine_loss`.

    The moving average of the mean of e^T lives in a buffer, as its logarithm, and is updated by each call in training
    mode.

    Args:
        rate: weight of the newest batch in the moving average, in (0, 1].

    Raises:
        ValueError: rate is not in (0, 1].

    Example:
        >>> import torch
        >>> from infomax import MINE, functional as F
        >>> MINE(rate=0.01)(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """

    bias = "up in small batches; its gradient has little"
    variance = "high: grows as e^I"
    log_average: Tensor

    def __init__(self, *, rate: float = 0.01) -> None:
        super().__init__()
        self.rate = check_rate(rate)
        self.register_buffer("log_average", torch.tensor(-torch.inf))

    def forward(self, scores: PairScores) -> Tensor:
        marginal = scores.reduce("logsumexp").marginal  # with a graph: the loss reads the same
        average = log_average_with(self.log_average, log_mean_exp_marginal(scores, marginal), self.rate)
        if self.training:
            self.log_average.copy_(average)
        return F.mine_loss(scores, average)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)
