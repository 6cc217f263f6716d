"""InfoNCE (van den Oord et al. 2018), with the negatives of a global shared by its locations."""

from __future__ import annotations

import math

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.means import mean_joint
from infomax.scores import PairScores
from infomax.scores.reductions import softplus

__all__ = ["InfoNCE", "infonce_estimate", "infonce_loss"]


def infonce_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Cross-entropy of picking the joint pair among that global's marginal ones.

    .. math:: \frac{1}{J} \sum_{(y, x)} \Big[ \log\Big(e^{T(x, y)} + \sum_{x^-} e^{T(x^-, y)}\Big) - T(x, y) \Big]

    where :math:`x^-` runs over the locals of all other examples. It is ``softplus(L_y - T)`` with L the log-sum-exp of
    the marginal scores, so no (N P) x (N P) table of logits exists. Prefer it when many negatives are at hand: its
    estimate cannot exceed log(1 + K).

    Args:
        scores: joint scores (J,) and reductions over the K marginal pairs of each of M globals.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,), whose mean is the scalar where all
            globals have as many pairs.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); no unit.

    Numerics:
        Finite for every finite score. A constant added to all scores of one global changes nothing. A global without
        marginal pairs contributes 0.

    Source:
        Hjelm et al. 2019 (Deep InfoMax), eq. 5; van den Oord et al. 2018 (CPC), eq. 4. The authors' code masks a
        global's own example with a score of -10; here it is left out exactly.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.infonce_loss(F.dense_scores(torch.zeros(4, 4)))  # log 4
        tensor(1.3863)
    """
    joint, marginal = scores.reduce("logsumexp")
    return mean_joint(scores, softplus(scores.per_joint(marginal) - joint), reduction)


def infonce_estimate(scores: PairScores) -> Tensor:
    r"""Mutual information in nats by InfoNCE, a lower bound.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} \log(1 + K_y) - \mathcal{L}_\mathrm{InfoNCE}

    with :math:`K_y` the marginal pairs of a global, (N - 1) P when nothing is masked. A low-variance lower bound that
    never exceeds log(1 + K): near that ceiling it says "at least this much". The proof takes a global's negatives as
    independent: where the P locations of an example are alike and N is small, the estimate can pass the truth.

    Args:
        scores: joint and marginal scores.

    Returns:
        Scalar in nats, dtype as :func:`infonce_loss`.

    Source:
        Poole et al. 2019, eq. 10; van den Oord et al. 2018, section 2.3.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.infonce_estimate(F.dense_scores(100.0 * torch.eye(4)))  # the ceiling, log 4
        tensor(1.3863)
    """
    joint, _ = scores.reduce("logsumexp")
    ceiling = scores.per_joint(scores.count().to(joint.dtype).log1p()).mean()
    return ceiling - infonce_loss(scores)


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
        return infonce_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return infonce_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return infonce_loss(scores, reduction="none")

    def ceiling(self, negatives: float) -> float:
        return math.log1p(negatives)
