"""Variational bounds of f-divergences (Nowozin et al. 2016), NWJ among them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from infomax._checks import check_choice
from infomax.functional.dv import dv_estimate
from infomax.functional.jsd import jsd_loss
from infomax.functional.means import clipped, log_mean_exp_marginal, mean_marginal
from infomax.scores import PairScores

__all__ = ["MEASURES", "fdivergence_estimate", "fdivergence_loss", "nwj_estimate", "nwj_loss"]


def nwj_loss(scores: PairScores, *, clip: float | None = None) -> Tensor:
    r"""Minus the Nguyen-Wainwright-Jordan bound, which is the f-divergence form of the KL divergence.

    .. math:: -\Big( \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[e^{T - 1}] \Big)

    A lower bound on the mutual information, unbiased in any batch, looser than Donsker-Varadhan for the same critic,
    and of high variance where the information is large. At the optimum T is 1 plus the log density ratio.

    Args:
        scores: joint and marginal scores.
        clip: bring all scores into [-clip, clip] first; the bound then holds for the clipped critic.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Numerics:
        Holds a bare exponential: scores above about 88 overflow float32 unless ``clip`` is given.

    Source:
        Nguyen, Wainwright & Jordan 2010; Nowozin et al. 2016, table 2 (KL).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.nwj_loss(F.dense_scores(torch.ones(4, 4)))  # a constant critic of 1 is at the bound 0
        tensor(0.)
    """
    mean_joint, partition = _nwj(scores, clip)
    return partition - mean_joint


def nwj_estimate(scores: PairScores, *, clip: float | None = None) -> Tensor:
    r"""Mutual information in nats by Nguyen, Wainwright & Jordan, a lower bound.

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[T] - \mathbb{E}_\mathrm{marginal}[e^{T - 1}]

    Args:
        scores: joint and marginal scores.
        clip: as in :func:`nwj_loss`.

    Returns:
        Scalar in nats.

    Source:
        As :func:`nwj_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.nwj_estimate(F.dense_scores(torch.ones(4, 4)))
        tensor(0.)
    """
    mean_joint, partition = _nwj(scores, clip)
    return mean_joint - partition


def _nwj(scores: PairScores, clip: float | None) -> tuple[Tensor, Tensor]:
    joint, marginal = scores.reduce("logsumexp", clip)
    return clipped(joint, clip).mean(), (log_mean_exp_marginal(scores, marginal) - 1).exp()


def _reverse_kl(scores: PairScores, clip: float | None) -> Tensor:
    joint, marginal = scores.reduce("sum", clip)
    return (-clipped(joint, clip)).exp().mean() + mean_marginal(scores, marginal) - 1


def _hellinger(scores: PairScores, clip: float | None) -> Tensor:
    joint, marginal = scores.reduce("logsumexp", clip)
    return (-clipped(joint, clip)).exp().mean() + log_mean_exp_marginal(scores, marginal).exp() - 2


def _chi2(scores: PairScores, clip: float | None) -> Tensor:
    joint, marginal = scores.reduce("pearson", clip)
    return mean_marginal(scores, marginal) - clipped(joint, clip).mean()


def _gan(scores: PairScores, clip: float | None) -> Tensor:
    return jsd_loss(scores, clip=clip)


def _kl(scores: PairScores, clip: float | None) -> Tensor:
    return nwj_loss(scores, clip=clip)


_LOSSES: dict[str, Callable[[PairScores, float | None], Tensor]] = {
    "kl": _kl,
    "rkl": _reverse_kl,
    "hellinger": _hellinger,
    "chi2": _chi2,
    "gan": _gan,
}
MEASURES = tuple(_LOSSES)
"""Names of the f-divergences."""


def fdivergence_loss(scores: PairScores, measure: str, *, clip: float | None = None) -> Tensor:
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
        clip: bring all scores into [-clip, clip] first.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the bound of the divergence.

    Raises:
        ValueError: the measure is unknown.

    Numerics:
        ``kl``, ``rkl`` and ``hellinger`` hold a bare exponential, which overflows float32 at scores beyond about 88
        unless ``clip`` is given; ``chi2`` is polynomial, ``gan`` finite everywhere.

    Source:
        Nowozin et al. 2016 (f-GAN), tables 1, 2 and 6. The ``X2`` measure of the Deep InfoMax authors' code is another
        expression, and not a bound.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.fdivergence_loss(F.dense_scores(torch.zeros(4, 4)), measure="hellinger")
        tensor(0.)
    """
    check_choice("measure", measure, MEASURES)
    return _LOSSES[measure](scores, clip)


def fdivergence_estimate(scores: PairScores, measure: str, *, clip: float | None = None) -> Tensor:
    r"""Information in nats, read off a critic trained by an f-divergence.

    ``kl`` is its own bound (:func:`nwj_estimate`). ``rkl``, ``hellinger`` and ``gan`` turn the critic into the log
    density ratio it has at the optimum (T, 2 T, T) and put that into Donsker-Varadhan, which makes it a lower bound
    for any critic. ``chi2`` gives :math:`\log(1 + \max(\hat\chi^2, 0))`, the *order-2 Rényi* information, at the
    optimum an upper bound on Shannon's, and says nothing certain before it.

    Args:
        scores: joint and marginal scores.
        measure: as in :func:`fdivergence_loss`.
        clip: as in :func:`fdivergence_loss`; the Donsker-Varadhan readings need none and ignore it.

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
    check_choice("measure", measure, MEASURES)
    if measure == "kl":
        return nwj_estimate(scores, clip=clip)
    if measure == "chi2":
        return (-_chi2(scores, clip)).clamp_min(0.0).log1p()
    return dv_estimate(scores.scaled(2.0) if measure == "hellinger" else scores)
