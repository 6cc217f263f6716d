"""Variational bounds of f-divergences (Nowozin et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_choice
from infomax.estimators.base import Bound, Estimator, OptimalCritic
from infomax.estimators.donsker_varadhan import dv_estimate
from infomax.estimators.means import log_mean_exp_marginal, mean_joint, mean_marginal
from infomax.estimators.nwj import nwj_estimate
from infomax.scores import PairScores
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


def fdivergence_loss(scores: PairScores, measure: str, *, reduction: str = "mean") -> Tensor:
    r"""Minus the variational lower bound of an f-divergence of the joint from the product of marginals.

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

    with r the density ratio p(x, y) / p(x) p(y), J the joint and M the marginal pairs. Each is 0 at best for
    independent variables (``gan``: 2 log 2). Only ``kl`` bounds the mutual information itself.

    Args:
        scores: joint and marginal scores.
        measure: one of the names above.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,), whose mean is the scalar where all
            globals have as many pairs.

    Returns:
        Scalar, or (M,), float32 (float64 for float64 scores); minus the bound of the divergence.

    Raises:
        ValueError: the measure is unknown.

    Numerics:
        ``kl``, ``rkl`` and ``hellinger`` hold a bare exponential, which overflows float32 at scores beyond about 88:
        bring them into an interval with :class:`~infomax.scores.ClippedScores`. ``chi2`` is polynomial, ``gan`` finite
        everywhere.

    Source:
        Nowozin et al. 2016 (f-GAN), tables 1, 2 and 6. The ``X2`` measure of the Deep InfoMax authors' code is another
        expression, and not a bound.

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


def fdivergence_estimate(scores: PairScores, measure: str) -> Tensor:
    r"""Information in nats, read off a critic trained by an f-divergence.

    ``kl`` is its own bound (:func:`nwj_estimate`). ``rkl``, ``hellinger`` and ``gan`` turn the critic into the log
    density ratio that it has at the optimum (T, 2 T, T), and put that into Donsker-Varadhan, a lower bound in the limit
    of large batches for any critic. ``chi2`` gives :math:`\log(1 + \max(\hat\chi^2, 0))`, the *order-2 Rényi*
    information: at the optimum an upper bound on Shannon's, and no bound before it.

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
        # As what reads them: Donsker-Varadhan.
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
