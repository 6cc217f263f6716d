"""TUBA, whose partition function is a number of its own, and its interpolation with InfoNCE (Poole et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax._checks import check_floating, check_number, shape_of
from infomax.functional.means import clipped, log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["alpha_tuba_estimate", "alpha_tuba_loss", "tuba_estimate", "tuba_loss"]


def tuba_loss(scores: PairScores, *, log_baseline: float | Tensor = 0.0, clip: float | None = None) -> Tensor:
    r"""Minus the tractable unnormalised Barber-Agakov bound (TUBA).

    .. math:: -\Big( 1 + \mathbb{E}_\mathrm{joint}[T - \log a(y)]
              - \mathbb{E}_\mathrm{marginal}\big[e^T / a(y)\big] \Big)

    A lower bound on the mutual information for any critic and any positive baseline a that does not come from the same
    batch, unbiased in any batch; tightest where a(y) is the mean of e^T over the marginal pairs of y. With log a = 1 it
    is :func:`~infomax.functional.nwj_loss`. Prefer it to that where a good guess of the partition function is at hand.

    Args:
        scores: joint and marginal scores.
        log_baseline: log a, one number, or one for each global, (M,), in the order of the global rows. A tensor with a
            gradient is trained by the same loss.
        clip: bring all scores into [-clip, clip] first; the bound then holds for the clipped critic.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Raises:
        TypeError: ``log_baseline`` is neither a number nor a floating tensor.
        ValueError: ``log_baseline`` has neither one value nor M.

    Numerics:
        Holds a bare exponential, of T - log a: it overflows float32 where scores exceed their baseline by about 88,
        unless ``clip`` is given.

    Source:
        Poole et al. 2019, "On variational bounds of mutual information", eq. 8; Barber & Agakov 2003.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.tuba_loss(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """
    return -tuba_estimate(scores, log_baseline=log_baseline, clip=clip)


def tuba_estimate(scores: PairScores, *, log_baseline: float | Tensor = 0.0, clip: float | None = None) -> Tensor:
    r"""Mutual information in nats by TUBA, a lower bound.

    .. math:: \hat I = 1 + \mathbb{E}_\mathrm{joint}[T - \log a(y)] - \mathbb{E}_\mathrm{marginal}\big[e^T / a(y)\big]

    Args:
        scores: joint and marginal scores.
        log_baseline: as in :func:`tuba_loss`.
        clip: as in :func:`tuba_loss`.

    Returns:
        Scalar in nats.

    Raises:
        TypeError: as :func:`tuba_loss`.
        ValueError: as :func:`tuba_loss`.

    Source:
        As :func:`tuba_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.tuba_estimate(F.dense_scores(3.0 * torch.eye(4)), log_baseline=1.0)  # as NWJ
        tensor(2.6321)
    """
    joint, marginal = scores.reduce("logsumexp", clip)
    log_a = _per_global(log_baseline, marginal)
    partition = log_mean_exp_marginal(scores, marginal - log_a).exp()
    return (clipped(joint, clip) - scores.per_joint(log_a)).mean() - partition + 1


def alpha_tuba_loss(
    scores: PairScores, *, alpha: float = 0.5, log_baseline: float | Tensor = 0.0, clip: float | None = None
) -> Tensor:
    r"""Minus the bound between TUBA (alpha = 0) and InfoNCE (alpha = 1).

    .. math:: -\Big( 1 + \mathbb{E}_\mathrm{joint}\Big[ T - \log\big(\alpha \, m_{1 + K} + (1 - \alpha) \, a(y)\big)
              \Big] - \mathbb{E}_y\Big[ \frac{m_K}{\alpha \, m_K + (1 - \alpha) \, a(y)} \Big] \Big)

    where :math:`m_K` is the mean of e^T over the K marginal pairs of a global, and :math:`m_{1 + K}` over those and the
    joint pair. It trades the bias of InfoNCE for the variance of TUBA: the estimate cannot exceed
    1 + log((1 + K) / alpha), so that a smaller alpha can tell more nats, less surely.

    Args:
        scores: joint and marginal scores.
        alpha: weight of the batch's own mean in the baseline, in [0, 1].
        log_baseline: log a, as in :func:`tuba_loss`.
        clip: as in :func:`tuba_loss`.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Raises:
        TypeError: as :func:`tuba_loss`, or alpha is no number.
        ValueError: as :func:`tuba_loss`, or alpha is not in [0, 1].

    Numerics:
        Finite for every finite score where alpha is not 0: the ratio of the last term is formed from logarithms and
        never exceeds 1 / alpha.

    Source:
        Poole et al. 2019, section 2.4. Theory takes 1 + K samples for the last mean too, where a batch holds K that are
        independent of y; InfoNCE and TUBA are met exactly, and in between the expected value is at most about
        alpha (1 - alpha) Var[e^T] / E[e^T]^2 / K^2 too large. The authors' code leaves out one sample of the joint mean
        instead, each in turn, which needs the table of scores.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> scores = F.dense_scores(3.0 * torch.eye(4))
        >>> torch.isclose(F.alpha_tuba_loss(scores, alpha=1.0), -F.infonce_estimate(scores))
        tensor(True)
    """
    return -alpha_tuba_estimate(scores, alpha=alpha, log_baseline=log_baseline, clip=clip)


def alpha_tuba_estimate(
    scores: PairScores, *, alpha: float = 0.5, log_baseline: float | Tensor = 0.0, clip: float | None = None
) -> Tensor:
    r"""Mutual information in nats by the interpolated bound, a lower bound: minus :func:`alpha_tuba_loss`.

    Args:
        scores: joint and marginal scores.
        alpha: as in :func:`alpha_tuba_loss`.
        log_baseline: as in :func:`tuba_loss`.
        clip: as in :func:`tuba_loss`.

    Returns:
        Scalar in nats.

    Raises:
        TypeError: as :func:`alpha_tuba_loss`.
        ValueError: as :func:`alpha_tuba_loss`.

    Source:
        As :func:`alpha_tuba_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.alpha_tuba_estimate(F.dense_scores(torch.zeros(4, 4)), alpha=0.25)
        tensor(0.)
    """
    log_alpha, log_rest = _log_weights(alpha)
    joint, mean, mean_with_joint, count = _means(scores, clip)
    rest = _per_global(log_baseline, mean) + log_rest
    joint_term = joint - torch.logaddexp(mean_with_joint + log_alpha, scores.per_joint(rest))
    ratio = (mean - torch.logaddexp(mean + log_alpha, rest)).exp()
    return 1 + joint_term.mean() - (count * ratio).sum() / count.sum()


@torch.no_grad()
def improved_log_baseline(
    scores: PairScores, log_baseline: Tensor, *, alpha: float, clip: float | None = None
) -> Tensor:
    r"""Log of a baseline at which the interpolated bound of a batch is higher, or the same where none is.

    .. math:: \log a + \log \mathbb{E}_y\Big[ \frac{m_K \, a}{(\alpha m_K + (1 - \alpha) a)^2} \Big]
              - \log \mathbb{E}_\mathrm{joint}\Big[ \frac{a}{\alpha m_{1 + K} + (1 - \alpha) a} \Big]

    The two expectations are the terms of the bound's derivative by log a, so they are equal where it is highest. With
    alpha = 0 this is the log of the mean of e^T, whatever a. A common shift of all scores and of log a changes no
    bound: at such a baseline the scores are not pushed up or down either. The mean of e^T does not grant that where
    alpha is above 0; an average of it and the scores then chase each other without end.

    Args:
        scores: joint and marginal scores.
        log_baseline: log a, a scalar.
        alpha: in [0, 1).
        clip: as in :func:`tuba_loss`.
    """
    log_alpha, log_rest = _log_weights(alpha)
    _, mean, mean_with_joint, count = _means(scores, clip)
    rest = log_baseline.to(mean.dtype) + log_rest
    of_marginal = (count.log() + mean + rest - 2 * torch.logaddexp(mean + log_alpha, rest)).logsumexp(0)
    of_joint = (rest - torch.logaddexp(mean_with_joint + log_alpha, rest)).logsumexp(0)
    improved: Tensor = rest - log_rest + of_marginal - count.sum().log() - of_joint + math.log(len(mean_with_joint))
    return improved


def _means(scores: PairScores, clip: float | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Joint scores (J,), log of the mean of e^T over K pairs (M,) and with the joint one (J,), and the K (M,)."""
    joint, marginal = scores.reduce("logsumexp", clip)
    joint = clipped(joint, clip)
    count = scores.count().to(marginal.dtype)
    with_joint = torch.logaddexp(joint, scores.per_joint(marginal)) - scores.per_joint(count.log1p())
    # A global without marginal pairs has no mean, and no weight in the one over globals.
    mean = torch.where(count > 0, marginal, 0.0) - count.clamp_min(1).log()
    return joint, mean, with_joint, count


def _log_weights(alpha: float) -> tuple[float, float]:
    """Logs of alpha and of 1 - alpha."""
    check_alpha(alpha)
    return math.log(alpha) if alpha > 0 else -math.inf, math.log1p(-alpha) if alpha < 1 else -math.inf


def check_alpha(alpha: object) -> float:
    """Return alpha if it is a number in [0, 1], else raise."""
    number = check_number("alpha", alpha)
    if not 0 <= number <= 1:
        raise ValueError(f"alpha must be in [0, 1], 0 for TUBA and 1 for InfoNCE, got {alpha}")
    return number


def _per_global(log_baseline: float | Tensor, like: Tensor) -> Tensor:
    """One value a global, (M,)."""
    if not isinstance(log_baseline, Tensor):
        return torch.full_like(like, check_number("log_baseline", log_baseline))
    values = check_floating("log_baseline", log_baseline).to(like.dtype)
    if values.numel() == 1:
        return values.reshape(1).expand_as(like)
    if values.shape != like.shape:
        raise ValueError(
            f"log_baseline must be one number or one for each of the {like.shape[0]} globals, {shape_of(like)}, got "
            f"{shape_of(values)}"
        )
    return values
