"""InfoNCE (van den Oord et al. 2018); all joint pairs of a global share the negatives of that global."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax._checks import check_number
from infomax.estimators.base import Bound, Estimator
from infomax.estimators.means import mean_joint
from infomax.scores import PairScores
from infomax.scores.base import takes_scores
from infomax.scores.reductions import softplus

__all__ = ["InfoNCE", "infonce_estimate", "infonce_loss", "plug_in_estimate"]


@takes_scores
def infonce_loss(scores: PairScores, *, anchor: float | None = None, reduction: str = "mean") -> Tensor:
    r"""Return the cross-entropy of telling each joint pair from the marginal pairs of its global.

    .. math:: \frac{1}{J} \sum_{(y, x)} \Big[ \log\Big(e^{T(x, y)} + \sum_{x^-} e^{T(x^-, y)}\Big) - T(x, y) \Big]

    where :math:`x^-` runs over the locals of all other examples. Each term is ``softplus(L_y - T)``, with L_y the
    log-sum-exp of the marginal scores, so no (N P) x (N P) table of logits is needed. Prefer InfoNCE if there are many
    negatives: its estimate cannot exceed log(1 + K).

    With an ``anchor`` a there is one more class, "none of them is joint", whose score is the constant
    :math:`c = \log a (1 + K)`. This class is the right answer in a second term, in which each global meets marginal
    locals only:

    .. math:: \frac{1}{J} \sum_{(y, x)} \Big[ \log\Big(e^c + e^{T(x, y)} + \sum_{x^-} e^{T(x^-, y)}\Big) - T(x, y) \Big]
        + \frac{a}{J} \sum_{(y, x)} \log\Big(1 + \frac{1 + K}{K} \sum_{x^-} e^{T(x^-, y) - c}\Big)

    InfoNCE determines the scores only up to a constant per global. The anchor fixes this constant, so that the best
    critic is the log density ratio itself and :func:`plug_in_estimate` can read the information from its scores. The
    anchor does not improve representations.

    Args:
        scores: joint scores (J,), and reductions over the K marginal pairs of each of the M globals.
        anchor: a, the weight of the second term; None leaves out this term and the extra class. 1 is a good choice. In
            the limit of a small anchor, the loss is InfoNCE itself.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); nats, as for any cross-entropy.

    Numerics:
        Finite for every finite score. Without an anchor, a constant added to all scores of one global changes nothing.
        A global without marginal pairs contributes 0.

    Source:
        Hjelm et al. 2019 (Deep InfoMax), eq. 5; van den Oord et al. 2018 (CPC), eq. 4. The authors' code masks the
        example of the global itself with a score of -10; here that example is left out exactly. For the anchor, Ryu et
        al. 2025 (Contrastive Predictive Coding Done Right). They draw 1 + K new candidates for the second term. Here
        the K marginal pairs serve again, the factor (1 + K) / K accounts for the missing candidate, and the optimum is
        exact up to O(1 / K^2).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.infonce_loss(F.dense_scores(torch.zeros(4, 4)))  # log 4
        tensor(1.3863)
    """
    joint, marginal = scores.reduce("logsumexp")
    if anchor is None:
        return mean_joint(scores, softplus(scores.per_joint(marginal) - joint), reduction)
    check_number("anchor", anchor, above=0)
    count = scores.count().to(joint.dtype)
    constant = math.log(anchor) + count.log1p()
    some_joint = softplus(scores.per_joint(torch.logaddexp(marginal, constant)) - joint)
    none_joint = softplus(marginal + (1.0 + count).log() - count.clamp_min(1.0).log() - constant)
    losses = some_joint + anchor * scores.per_joint(none_joint)
    return mean_joint(scores, losses.masked_fill(scores.per_joint(count == 0), 0.0), reduction)


@takes_scores
def infonce_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by InfoNCE, a lower bound.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} \log(1 + K_y) - \mathcal{L}_\mathrm{InfoNCE}

    with :math:`K_y` the number of marginal pairs of a global, (N - 1) P when nothing is masked. This lower bound has a
    low variance and never exceeds log(1 + K); near that ceiling the information may be much larger than the estimate.
    The proof assumes that the negatives of a global are independent. If the P locations of an example are alike and N
    is small, the estimate can exceed the truth.

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


@takes_scores
def plug_in_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats as the mean joint score of a critic that is the log density ratio.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} T(x, y)

    This is not a bound. It is only as good as the critic: a constant error of all scores is the same error of the
    estimate. Its variance is low. Use it for a critic that was trained by InfoNCE with an ``anchor``.

    Args:
        scores: joint scores.

    Returns:
        Scalar in nats, dtype as :func:`infonce_loss`.

    Source:
        Ryu et al. 2025 (Contrastive Predictive Coding Done Right).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.plug_in_estimate(F.dense_scores(2.0 * torch.eye(4)))
        tensor(2.)
    """
    return scores.joint().mean()


class InfoNCE(Estimator):
    """InfoNCE, which tells the joint pair from the marginal pairs: :func:`~infomax.functional.infonce_loss`.

    Args:
        anchor: weight of the term with one more class, "none of them is joint", which fixes the constants of the
            scores; None leaves it out. With an anchor, scores become log density ratios, the estimate is
            :func:`~infomax.functional.plug_in_estimate`, and it is not a bound.

    Raises:
        ValueError: the anchor is not positive and finite.

    Example:
        >>> import torch
        >>> from infomax import InfoNCE, functional as F
        >>> scores = F.dense_scores(100.0 * torch.eye(8))
        >>> f"{InfoNCE().mutual_information(scores):.3f} nats, the ceiling log 8"
        '2.079 nats, the ceiling log 8'
    """

    bias = "down, at most log(1 + K)"
    variance = "low"

    def __init__(self, *, anchor: float | None = None) -> None:
        super().__init__()
        self.anchor = None if anchor is None else check_number("anchor", anchor, above=0)
        if anchor is not None:
            self.bound: Bound = "none"
            self.bias = "only that of the critic"

    def forward(self, scores: PairScores) -> Tensor:
        return infonce_loss(scores, anchor=self.anchor)

    def estimate(self, scores: PairScores) -> Tensor:
        return infonce_estimate(scores) if self.anchor is None else plug_in_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return infonce_loss(scores, anchor=self.anchor, reduction="none")

    def ceiling(self, negatives: float) -> float:
        return math.log1p(negatives) if self.anchor is None else math.inf

    def extra_repr(self) -> str:
        return "" if self.anchor is None else f"anchor={self.anchor}"
