"""Donsker-Varadhan with the gradient of MINE, whose bias a moving average reduces (Belghazi et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of
from infomax.estimators.average import LogAverage
from infomax.estimators.base import Estimator
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import PairScores
from infomax.scores.base import check_scores, takes_scores

__all__ = ["MINE", "mine_loss"]

_LARGEST_LOG_WEIGHT = 44.0  # e^44 is 1e19, whose square fits in float32


@takes_scores
def mine_loss(scores: PairScores, log_average: Tensor) -> Tensor:
    r"""Return minus the Donsker-Varadhan bound, with a moving average as the denominator of its gradient.

    .. math:: -\mathbb{E}_\mathrm{joint}[T] + \log \mathbb{E}_\mathrm{marginal}[e^T], \qquad
              \text{gradient } -\mathbb{E}_\mathrm{joint}[\nabla T]
              + \frac{\mathbb{E}_\mathrm{marginal}[e^T \nabla T]}{\bar{E}}

    The value is that of :func:`~infomax.functional.dv_loss`. In the gradient, the denominator :math:`\bar{E}` is an
    average of :math:`\mathbb{E}[e^T]` over many batches instead of one, which removes most of the gradient's bias in
    small batches.

    Args:
        scores: joint and marginal scores.
        log_average: log of the moving average, a scalar without gradient. :class:`~infomax.MINE` keeps one.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the Donsker-Varadhan estimate in nats.

    Raises:
        TypeError: log_average is not a floating tensor.
        ValueError: log_average is not a scalar.

    Numerics:
        The weight :math:`\mathbb{E}[e^T] / \bar{E}` is computed from its logarithm and is at most 1e19, so it is finite
        for every finite score, even if the mean jumps far above its average.

    Source:
        Belghazi et al. 2018 (MINE), section 3.2, eq. 12.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.mine_loss(F.dense_scores(torch.zeros(4, 4)), log_average=torch.tensor(0.0))
        tensor(0.)
    """
    check_floating("log_average", log_average)
    if log_average.numel() != 1:
        raise ValueError(f"log_average must be a scalar, got {shape_of(log_average)}")
    log_average = log_average.reshape(())
    joint, marginal = scores.reduce("logsumexp")
    log_mean = log_mean_exp_marginal(scores, marginal)
    check_same_device(scores=log_mean, log_average=log_average)
    weight = (log_mean - log_average.to(log_mean.dtype)).clamp_max(_LARGEST_LOG_WEIGHT)
    # The clamp bounds the weight of the gradient; the detached form keeps the gradient itself from becoming zero.
    weight = (weight.detach() + (log_mean - log_mean.detach())).exp()
    return log_mean.detach() + (weight - weight.detach()) - joint.mean()


class MINE(Estimator):
    """Donsker-Varadhan with a bias-corrected gradient: :func:`~infomax.functional.mine_loss`.

    A buffer holds the logarithm of the moving average of the mean of e^T, in float32 at least. Each call in training
    mode updates it.

    Args:
        rate: weight of the newest batch in the moving average, in (0, 1].

    Raises:
        TypeError: rate is not a number.
        ValueError: rate is not in (0, 1].

    Example:
        >>> import torch
        >>> from infomax import MINE, functional as F
        >>> MINE(rate=0.01)(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """

    bound = "asymptotic"
    bias = "up in small batches; its gradient has little"
    variance = "high: grows as e^I"
    directional = False

    def __init__(self, *, rate: float = 0.01) -> None:
        super().__init__()
        self.average = LogAverage(rate)

    def forward(self, scores: PairScores) -> Tensor:
        check_scores(scores)
        marginal = scores.reduce("logsumexp").marginal  # with a graph, so that the loss reuses it
        average: Tensor = self.average(log_mean_exp_marginal(scores, marginal).detach())
        if self.training:
            self.average.value.copy_(average)
        return mine_loss(scores, average)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores)
