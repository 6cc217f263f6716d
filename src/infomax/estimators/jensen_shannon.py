"""Telling joint from marginal pairs: the Jensen-Shannon objective, and the logistic loss summed over all pairs."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.estimators.base import Bound, Estimator
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import mean_joint, mean_marginal
from infomax.estimators.tuba import tuba_estimate
from infomax.scores import PairScores
from infomax.scores.reductions import softplus

__all__ = ["JensenShannon", "Logistic", "jsd_loss", "logistic_loss"]


def jsd_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Binary cross-entropy of telling joint pairs from marginal ones, each kind weighted alike.

    .. math:: \mathbb{E}_\mathrm{joint}[\mathrm{sp}(-T)] + \mathbb{E}_\mathrm{marginal}[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    Its negative plus 2 log 2 is a lower bound on twice the Jensen-Shannon divergence of the joint from the product of
    marginals, not on the mutual information. At the optimum T is the log density ratio, so read the information with
    :func:`~infomax.functional.dv_estimate` of the same scores. Prefer it where there are few negatives.

    Args:
        scores: joint and marginal scores.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,), whose mean is the scalar where all
            globals have as many pairs.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); no unit. 2 log 2 for a constant critic of 0.

    Numerics:
        Finite for every finite score; linear in them far from 0.

    Source:
        Hjelm et al. 2019, eq. 4. The authors' ``GAN`` measure; their ``JSD`` is this shifted by -2 log 2.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.jsd_loss(F.dense_scores(torch.zeros(4, 4)))  # 2 log 2
        tensor(1.3863)
    """
    joint, marginal = scores.reduce("softplus")
    return mean_joint(scores, softplus(-joint), reduction) + mean_marginal(scores, marginal, reduction)


def logistic_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Binary cross-entropy of joint against marginal pairs: the sum over all pairs, divided by the joint pairs.

    .. math:: \frac{1}{J} \Big( \sum_\mathrm{joint} \mathrm{sp}(-T) + \sum_\mathrm{marginal} \mathrm{sp}(T) \Big),
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    Every pair has the same weight, so that with K marginal pairs per joint one the best critic is the log density ratio
    minus log K: give the critic a bias. :func:`jsd_loss` weighs each kind of pairs alike instead.

    Args:
        scores: joint and marginal scores.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,), whose mean is the scalar where all
            globals have as many pairs.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); no unit.

    Numerics:
        Finite for every finite score; linear in them far from 0.

    Source:
        Zhai et al. 2023 (SigLIP), eq. 1, for one joint pair per global.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.logistic_loss(F.dense_scores(torch.zeros(4, 4)))  # 4 log 2
        tensor(2.7726)
    """
    joint, marginal = scores.reduce("softplus")
    joint_part = mean_joint(scores, softplus(-joint), reduction)
    if reduction == "mean":
        return joint_part + marginal.sum() / joint.numel()
    return joint_part + marginal / scores.pairing.joint_count()


class JensenShannon(Estimator):
    """Tell joint from marginal pairs: :func:`~infomax.functional.jsd_loss`.

    Its loss is no amount of information. At its optimum the critic is the log density ratio, at which Donsker-Varadhan
    and NWJ are tight too. The estimate puts the same scores into one of the two.

    Args:
        read: what the estimate is: ``"dv"``, :func:`~infomax.functional.dv_estimate`, tighter, and a lower bound only
            in the limit of large batches; or ``"nwj"``, a lower bound in any batch: the critic plus 1 in NWJ, which is
            :func:`~infomax.functional.tuba_estimate` with a baseline of 1.

    Raises:
        ValueError: ``read`` is neither of the two.

    Example:
        >>> import torch
        >>> from infomax import JensenShannon, functional as F
        >>> JensenShannon()(F.dense_scores(torch.zeros(8, 8)))
        tensor(1.3863)
        >>> JensenShannon(read="nwj").mutual_information(F.dense_scores(3.0 * torch.eye(8)))
        tensor(3.)
    """

    bound: Bound = "asymptotic"
    bias = "up in small batches (read by NWJ: none)"
    variance = "of the loss low, of the reading as DV's"
    directional = False

    def __init__(self, *, read: str = "dv") -> None:
        super().__init__()
        check_choice("read", read, ("dv", "nwj"))
        self.read = read
        if read == "nwj":
            self.bound = "lower"

    def forward(self, scores: PairScores) -> Tensor:
        return jsd_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores) if self.read == "dv" else tuba_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return jsd_loss(scores, reduction="none")

    def extra_repr(self) -> str:
        return f"read={self.read!r}"


class Logistic(Estimator):
    """Binary cross-entropy over all pairs: :func:`~infomax.functional.logistic_loss`.

    With a cosine critic whose temperature and bias are learned, this is the loss of SigLIP. The estimate puts the same
    scores into Donsker-Varadhan, to which the critic's constant does not matter.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> from infomax.estimators import Logistic
        >>> Logistic()(F.dense_scores(torch.zeros(8, 8)))  # 8 log 2
        tensor(5.5452)
    """

    bound = "asymptotic"
    bias = "up in small batches"
    variance = "of the loss low, of the reading as DV's"
    optimum = None  # log r - log K: it depends on the number of marginal pairs
    directional = False

    def forward(self, scores: PairScores) -> Tensor:
        return logistic_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return logistic_loss(scores, reduction="none")
