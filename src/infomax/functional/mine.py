"""Donsker-Varadhan with the gradient of MINE, corrected by a moving average (Belghazi et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from infomax.functional.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["mine_loss"]


def mine_loss(scores: PairScores, log_average: Tensor) -> Tensor:
    r"""Minus the Donsker-Varadhan bound, with a gradient whose denominator is a moving average.

    .. math:: -\mathbb{E}_\mathrm{joint}[T] + \log \mathbb{E}_\mathrm{marginal}[e^T], \qquad
              \text{gradient } -\mathbb{E}_\mathrm{joint}[\nabla T]
              + \frac{\mathbb{E}_\mathrm{marginal}[e^T \nabla T]}{\bar{E}}

    The value is that of :func:`~infomax.functional.dv_loss`. Dividing the gradient by an average :math:`\bar{E}` of
    :math:`\mathbb{E}[e^T]` over many batches instead of one removes most of its bias in small batches.

    Args:
        scores: joint and marginal scores.
        log_average: log of the moving average, a scalar without gradient. :class:`~infomax.MINE` keeps one.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the Donsker-Varadhan estimate in nats.

    Numerics:
        The weight :math:`\mathbb{E}[e^T] / \bar{E}` is formed from its logarithm.

    Source:
        Belghazi et al. 2018 (MINE), section 3.2, eq. 12.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.mine_loss(F.dense_scores(torch.zeros(4, 4)), log_average=torch.tensor(0.0))
        tensor(0.)
    """
    joint, marginal = scores.reduce("logsumexp")
    log_mean = log_mean_exp_marginal(scores, marginal)
    weight = (log_mean - log_average).exp()
    return log_mean.detach() + (weight - weight.detach()) - joint.mean()
