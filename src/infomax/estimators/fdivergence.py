"""Variational bounds of f-divergences (Nowozin et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.estimators.base import Bound, Estimator, OptimalCritic
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import log_mean_exp_marginal, mean_joint, mean_marginal
from infomax.estimators.nwj import nwj_estimate
from infomax.scores import PairScores
from infomax.scores.base import takes_scores
from infomax.scores.measures import MEASURES

__all__ = ["FDIVERGENCES", "FDivergence", "fdivergence_estimate", "fdivergence_loss"]

FDIVERGENCES = ("kl", "rkl", "hellinger", "chi2", "gan")
"""Names of the f-divergences."""
_OPTIMA = {
    "kl": OptimalCritic(1.0, 1.0),
    "rkl": OptimalCritic(1.0, 0.0),
    "hellinger": OptimalCritic(0.5, 0.0),
    "chi2": None,  # 2 (r - 1)
    "gan": OptimalCritic(1.0, 0.0),
}


@takes_scores
def fdivergence_loss(scores: PairScores, measure: str, *, reduction: str = "mean") -> Tensor:
    r"""Return minus the variational lower bound on the f-divergence of the joint from the product of marginals.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[g(T)] - \mathbb{E}_\mathrm{marginal}[f^*(g(T))] \Big)

    =============  ====================================================================  ==============
    measure        loss                                                                  optimal critic
    =============  ====================================================================  ==============
    ``kl``         :math:`-(\mathbb{E}_J[T] - \mathbb{E}_M[e^{T-1}])` (NWJ)              1 + log r
    ``rkl``        :math:`\mathbb{E}_J[e^{-T}] + \mathbb{E}_M[T - 1]`                    log r
    ``hellinger``  :math:`-(\mathbb{E}_J[1 - e^{-T}] - \mathbb{E}_M[e^T - 1])`           log(r) / 2
    ``chi2``       :math:`-(\mathbb{E}_J[T] - \mathbb{E}_M[T^2/4 + T])`                  2 (r - 1)
    ``gan``        :math:`\mathbb{E}_J[\mathrm{sp}(-T)] + \mathbb{E}_M[\mathrm{sp}(T)]`  log r
    =============  ====================================================================  ==============

    Here r is the density ratio p(x, y) / p(x) p(y), J stands for joint pairs, and M for marginal pairs. For independent
    variables the lowest expected loss is 0 (``gan``: 2 log 2). Only ``kl`` bounds the mutual information itself.

    Args:
        scores: joint and marginal scores.
        measure: one of the names above.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); minus the bound on the divergence.

    Raises:
        ValueError: the measure is unknown.

    Numerics:
        ``kl``, ``rkl`` and ``hellinger`` contain a bare exponential, which overflows float32 at scores of magnitude 88
        or more. To prevent that, clip the scores with :class:`~infomax.scores.ClippedScores`. ``chi2`` is a polynomial
        of the scores. ``gan`` is finite for every finite score.

    Source:
        Nowozin et al. 2016 (f-GAN), tables 1, 2 and 6. The ``X2`` measure in the code of the Deep InfoMax authors is a
        different expression and not a bound.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.fdivergence_loss(F.dense_scores(torch.zeros(4, 4)), measure="hellinger")
        tensor(0.)
    """
    check_choice("measure", measure, FDIVERGENCES)
    gain, kind, price = MEASURES[measure]
    joint, marginal = scores.reduce(kind)
    mean = log_mean_exp_marginal if kind == "logsumexp" else mean_marginal
    return price(mean(scores, marginal, reduction)) - mean_joint(scores, gain(joint), reduction)


@takes_scores
def fdivergence_estimate(scores: PairScores, measure: str) -> Tensor:
    r"""Estimate the information in nats with a critic that was trained by an f-divergence.

    ``kl`` uses its own bound (:func:`nwj_estimate`). ``rkl``, ``hellinger`` and ``gan`` turn the scores into the log
    density ratio that they express at the optimum (T, 2 T and T). They insert it into Donsker-Varadhan, which is a
    lower bound in the limit of large batches for any critic. ``chi2`` returns
    :math:`\log(1 + \max(\hat\chi^2, 0))`, the *order-2 Rényi* information. With the optimal critic, that is an upper
    bound on Shannon's information; with any other critic it bounds nothing.

    Args:
        scores: joint and marginal scores.
        measure: as in :func:`fdivergence_loss`.

    Returns:
        Scalar in nats.

    Raises:
        ValueError: the measure is unknown.

    Source:
        The optimal critics of Nowozin et al. 2016, table 6; van Erven & Harremoës 2014 for the Rényi divergence.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.fdivergence_estimate(F.dense_scores(torch.zeros(4, 4)), measure="hellinger")
        tensor(0.)
    """
    check_choice("measure", measure, FDIVERGENCES)
    if measure == "kl":
        return nwj_estimate(scores)
    if measure == "chi2":
        return (-fdivergence_loss(scores, "chi2")).clamp_min(0.0).log1p()
    return dv_estimate(scores.scaled(2.0) if measure == "hellinger" else scores)


class FDivergence(Estimator):
    """A variational f-divergence: :func:`~infomax.functional.fdivergence_loss`.

    Args:
        measure: ``"kl"``, ``"rkl"``, ``"hellinger"``, ``"chi2"`` or ``"gan"``.

    Raises:
        ValueError: the measure is unknown.

    Example:
        >>> import torch
        >>> from infomax import FDivergence, functional as F
        >>> FDivergence("chi2")(F.dense_scores(torch.zeros(4, 4)))
        tensor(0.)
    """

    directional = False

    def __init__(self, measure: str) -> None:
        super().__init__()
        check_choice("measure", measure, FDIVERGENCES)
        self.measure = measure
        self.optimum = _OPTIMA[measure]
        # Those of Donsker-Varadhan, which gives the estimate of most measures.
        self.bound: Bound = "asymptotic"
        self.bias, self.variance = "up in small batches", "high: grows as e^I"
        if measure == "kl":
            self.bound, self.bias = "lower", "none"
        if measure == "chi2":  # Renyi's information, not Shannon's
            self.bound = "none"
            self.bias, self.variance = "reads Rényi's information of order 2", "very high: of squared density ratios"

    def forward(self, scores: PairScores) -> Tensor:
        return fdivergence_loss(scores, self.measure)

    def estimate(self, scores: PairScores) -> Tensor:
        return fdivergence_estimate(scores, self.measure)

    def per_global(self, scores: PairScores) -> Tensor:
        return fdivergence_loss(scores, self.measure, reduction="none")

    def extra_repr(self) -> str:
        return f"measure={self.measure!r}"
