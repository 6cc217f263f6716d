"""Binary classification of joint and marginal pairs: the Jensen-Shannon objective, and the logistic loss."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.estimators.base import Bound, Estimator
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import mean_joint, mean_marginal
from infomax.estimators.tuba import tuba_estimate
from infomax.scores import PairScores
from infomax.scores.base import takes_scores
from infomax.scores.reductions import softplus

__all__ = ["JensenShannon", "Logistic", "jsd_loss", "logistic_loss"]


@takes_scores
def jsd_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Return the binary cross-entropy of telling joint from marginal pairs, with equal weight for both kinds.

    .. math:: \mathbb{E}_\mathrm{joint}[\mathrm{sp}(-T)] + \mathbb{E}_\mathrm{marginal}[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    2 log 2 minus this loss is a lower bound on twice the Jensen-Shannon divergence of the joint from the product of
    marginals, not on the mutual information. At the optimum T is the log density ratio, so use
    :func:`~infomax.functional.dv_estimate` of the same scores to estimate the information. Prefer this loss if there
    are few negatives.

    Args:
        scores: joint and marginal scores.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); no unit. It is 2 log 2 if all scores are 0.

    Numerics:
        Finite for every finite score, and linear in scores far from 0.

    Source:
        Hjelm et al. 2019, eq. 4. In the authors' code this is the ``GAN`` measure, and the ``JSD`` measure is this loss
        minus 2 log 2.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.jsd_loss(F.dense_scores(torch.zeros(4, 4)))  # 2 log 2
        tensor(1.3863)
    """
    joint, marginal = scores.reduce("softplus")
    return mean_joint(scores, softplus(-joint), reduction) + mean_marginal(scores, marginal, reduction)


@takes_scores
def logistic_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Return the binary cross-entropy summed over all joint and marginal pairs, per joint pair.

    .. math:: \frac{1}{J} \Big( \sum_\mathrm{joint} \mathrm{sp}(-T) + \sum_\mathrm{marginal} \mathrm{sp}(T) \Big),
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    Every pair has the same weight. So with K marginal pairs per joint pair, the best critic is the log density ratio
    minus log K, and the critic should have a bias. In :func:`jsd_loss`, joint pairs and marginal pairs have equal total
    weight instead.

    Args:
        scores: joint and marginal scores.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); no unit.

    Numerics:
        Finite for every finite score, and linear in scores far from 0.

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
    """The Jensen-Shannon objective: :func:`~infomax.functional.jsd_loss`.

    The loss is not an amount of information. At its optimum the critic is the log density ratio, for which
    Donsker-Varadhan and NWJ are tight, too. So the estimate applies one of these two to the same scores.

    Args:
        read: the estimate to use. ``"dv"`` is :func:`~infomax.functional.dv_estimate`, which is tighter but a lower
            bound only in the limit of large batches. ``"nwj"`` is NWJ of the scores plus 1, a lower bound for any batch
            size: :func:`~infomax.functional.tuba_estimate` with a baseline of 1.

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
    variance = "loss: low; estimate: as DV"
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
    """The binary cross-entropy over all pairs: :func:`~infomax.functional.logistic_loss`.

    With a cosine critic whose temperature and bias are learned, this is the loss of SigLIP. The estimate is
    Donsker-Varadhan of the same scores, which does not depend on a constant added to all of them.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> from infomax.estimators import Logistic
        >>> Logistic()(F.dense_scores(torch.zeros(8, 8)))  # 8 log 2
        tensor(5.5452)
    """

    bound = "asymptotic"
    bias = "up in small batches"
    variance = "loss: low; estimate: as DV"
    optimum = None  # log r - log K: it depends on the number of marginal pairs
    directional = False

    def forward(self, scores: PairScores) -> Tensor:
        return logistic_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return dv_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return logistic_loss(scores, reduction="none")
