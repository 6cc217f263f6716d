"""TUBA, a bound with a separate baseline, and its interpolation with InfoNCE (Poole et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax._checks import check_floating, check_number, check_same_device, shape_of
from infomax.estimators.base import Estimator
from infomax.estimators.baseline import Baseline, check_alpha, log_weights, means_with_joint
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import PairScores
from infomax.scores.base import check_scores, takes_scores

__all__ = ["TUBA", "alpha_tuba_estimate", "alpha_tuba_loss", "tuba_estimate", "tuba_loss"]


@takes_scores
def tuba_loss(scores: PairScores, *, log_baseline: float | Tensor = 0.0) -> Tensor:
    r"""Return minus the tractable unnormalised Barber-Agakov bound (TUBA).

    .. math:: -\Big( 1 + \mathbb{E}_\mathrm{joint}[T - \log a(y)]
              - \mathbb{E}_\mathrm{marginal}\big[e^T / a(y)\big] \Big)

    TUBA is a lower bound on the mutual information for any critic and any positive baseline a that is not computed from
    the same batch. Its estimate is then unbiased for every batch size. It is tightest if a(y) is the expectation of e^T
    over the marginal pairs of y. With log a = 1 it is :func:`~infomax.functional.nwj_loss`. Prefer TUBA to NWJ if there
    is a good guess of that expectation.

    Args:
        scores: joint and marginal scores.
        log_baseline: log a: one number, or one per global, (M,), in the order of the global rows. The same loss trains
            a tensor that requires a gradient.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Raises:
        TypeError: ``log_baseline`` is neither a number nor a floating tensor.
        ValueError: ``log_baseline`` has neither one value nor M values.

    Numerics:
        Contains a bare exponential of T - log a, which overflows float32 if scores exceed log a by about 88.

    Source:
        Poole et al. 2019, "On variational bounds of mutual information", eq. 8; Barber & Agakov 2003.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.tuba_loss(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """
    return -tuba_estimate(scores, log_baseline=log_baseline)


@takes_scores
def tuba_estimate(scores: PairScores, *, log_baseline: float | Tensor = 0.0) -> Tensor:
    r"""Estimate the mutual information in nats by TUBA, a lower bound.

    .. math:: \hat I = 1 + \mathbb{E}_\mathrm{joint}[T - \log a(y)] - \mathbb{E}_\mathrm{marginal}\big[e^T / a(y)\big]

    Args:
        scores: joint and marginal scores.
        log_baseline: as in :func:`tuba_loss`.

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
        >>> F.tuba_estimate(F.dense_scores(3.0 * torch.eye(4)), log_baseline=1.0)  # equal to NWJ
        tensor(2.6321)
    """
    joint, marginal = scores.reduce("logsumexp")
    log_a = _per_global(log_baseline, marginal)
    partition = log_mean_exp_marginal(scores, marginal - log_a).exp()
    return (joint - scores.per_joint(log_a)).mean() - partition + 1


@takes_scores
def alpha_tuba_loss(scores: PairScores, *, alpha: float = 0.5, log_baseline: float | Tensor = 0.0) -> Tensor:
    r"""Return minus the bound that interpolates between TUBA (alpha = 0) and InfoNCE (alpha = 1).

    .. math:: -\Big( 1 + \mathbb{E}_\mathrm{joint}\Big[ T - \log\big(\alpha \, m_{1 + K} + (1 - \alpha) \, a(y)\big)
              \Big] - \mathbb{E}_y\Big[ \frac{m_K}{\alpha \, m_K + (1 - \alpha) \, a(y)} \Big] \Big)

    where :math:`m_K` is the mean of e^T over the K marginal pairs of a global, and :math:`m_{1 + K}` the mean over
    these and the joint pair. Alpha trades the bias of InfoNCE for the variance of TUBA: the estimate cannot exceed
    1 + log((1 + K) / alpha), so a smaller alpha allows a larger estimate, with more variance.

    Args:
        scores: joint and marginal scores.
        alpha: weight of the batch's own mean in the baseline, in [0, 1].
        log_baseline: log a, as in :func:`tuba_loss`.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Raises:
        TypeError: as :func:`tuba_loss`, or alpha is not a number.
        ValueError: as :func:`tuba_loss`, or alpha is not in [0, 1].

    Numerics:
        With alpha above 0, finite for every finite score: the ratio in the last term is computed from logarithms and
        never exceeds 1 / alpha.

    Source:
        Poole et al. 2019, section 2.4. In the paper the last mean is over 1 + K samples as well, but a batch has only K
        that are independent of y. TUBA and InfoNCE are still exact. In between, the expected value is too large by at
        most about alpha (1 - alpha) Var[e^T] / E[e^T]^2 / K^2. The authors' code instead leaves out each sample of the
        joint mean in turn, which needs the whole table of scores.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> scores = F.dense_scores(3.0 * torch.eye(4))
        >>> torch.isclose(F.alpha_tuba_loss(scores, alpha=1.0), -F.infonce_estimate(scores))
        tensor(True)
    """
    return -alpha_tuba_estimate(scores, alpha=alpha, log_baseline=log_baseline)


@takes_scores
def alpha_tuba_estimate(scores: PairScores, *, alpha: float = 0.5, log_baseline: float | Tensor = 0.0) -> Tensor:
    r"""Estimate the mutual information in nats by the interpolated bound: minus :func:`alpha_tuba_loss`.

    The estimate is a lower bound at alpha = 0 and alpha = 1. In between, it is one in the limit of large batches.

    Args:
        scores: joint and marginal scores.
        alpha: as in :func:`alpha_tuba_loss`.
        log_baseline: as in :func:`tuba_loss`.

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
    log_alpha, log_rest = log_weights(alpha)
    joint, mean, mean_with_joint, count = means_with_joint(scores)
    rest = _per_global(log_baseline, mean) + log_rest
    joint_term = joint - torch.logaddexp(mean_with_joint + log_alpha, scores.per_joint(rest))
    ratio = (mean - torch.logaddexp(mean + log_alpha, rest)).exp()
    return 1 + joint_term.mean() - (count * ratio).sum() / count.sum()


def _per_global(log_baseline: float | Tensor, like: Tensor) -> Tensor:
    """Return one value of log a per global, (M,)."""
    if not isinstance(log_baseline, Tensor):
        return torch.full_like(like, check_number("log_baseline", log_baseline))
    values = check_floating("log_baseline", log_baseline).to(like.dtype)
    check_same_device(scores=like, log_baseline=values)
    if values.numel() == 1:
        return values.reshape(1).expand_as(like)
    if values.shape != like.shape:
        raise ValueError(
            f"log_baseline must be one number or one for each of the {like.shape[0]} globals, {shape_of(like)}, got "
            f"{shape_of(values)}"
        )
    return values


class TUBA(Estimator):
    """TUBA, a bound with a separate baseline for the mean of e^T: :func:`~infomax.functional.tuba_loss`.

    With alpha above 0, the baseline is combined with the mean of the batch:
    :func:`~infomax.functional.alpha_tuba_loss`. With alpha = 0 and an average as the baseline, the *gradient* is that
    of :class:`~infomax.MINE`. The estimate differs from that of MINE: its average comes from earlier batches, so it is
    a lower bound in small batches, too.

    Args:
        alpha: 0 is TUBA, 1 is :class:`~infomax.InfoNCE`.
        baseline: ``"average"``, a moving average over batches of the best baseline, which for TUBA is the mean of e^T;
            or ``"learned"``, a parameter. Before the first batch, both give log a = 0.
        rate: weight of the newest batch in the average, in (0, 1].

    Raises:
        TypeError: alpha or rate is not a number.
        ValueError: baseline is unknown, alpha is not in [0, 1], or rate is not in (0, 1].

    Numerics:
        In training mode the average includes a batch before the loss of that batch is computed, so the loss is finite
        for every finite score. With a learned or given baseline the loss can overflow: see
        :func:`~infomax.functional.tuba_loss`.

    Example:
        >>> import torch
        >>> from infomax import TUBA, functional as F
        >>> scores = F.dense_scores(3.0 * torch.eye(4))
        >>> TUBA().mutual_information(scores)
        tensor(3.)
        >>> TUBA().mutual_information(scores, log_baseline=torch.ones(4))  # one per global; 1 gives NWJ
        tensor(2.6321)
    """

    bias = "none, given a baseline from other batches"
    variance = "high: grows as e^I, less with a good baseline"

    def __init__(self, *, alpha: float = 0.0, baseline: str = "average", rate: float = 0.1) -> None:
        super().__init__()
        self.alpha = check_alpha(alpha)
        self.baseline = Baseline(baseline, alpha=self.alpha, rate=rate)
        if alpha > 0:
            self.bias = "down, at most 1 + log((1 + K) / alpha)"
            self.variance = "between InfoNCE's and NWJ's"
        if 0 < alpha < 1:
            self.bound = "asymptotic"

    def forward(self, scores: PairScores, log_baseline: float | Tensor | None = None) -> Tensor:
        """Return the loss; ``log_baseline``, if given, takes the place of the estimator's own."""
        check_scores(scores)
        return -self._bound(scores, self.baseline(scores) if log_baseline is None else log_baseline)

    def mutual_information(self, scores: PairScores, log_baseline: float | Tensor | None = None) -> Tensor:
        """Return the estimate in nats; ``log_baseline`` as in :meth:`forward`."""
        with torch.no_grad():
            return self.estimate(scores, log_baseline).detach()

    def estimate(self, scores: PairScores, log_baseline: float | Tensor | None = None) -> Tensor:
        """Return the estimate in nats with its gradient; ``log_baseline`` as in :meth:`forward`."""
        return self._bound(scores, self.baseline.read() if log_baseline is None else log_baseline)

    def ceiling(self, negatives: float) -> float:
        if self.alpha == 0:
            return math.inf
        return math.log1p(negatives) if self.alpha == 1 else 1 + math.log((1 + negatives) / self.alpha)

    def _bound(self, scores: PairScores, log_a: float | Tensor) -> Tensor:
        if self.alpha == 0:
            return tuba_estimate(scores, log_baseline=log_a)
        return alpha_tuba_estimate(scores, alpha=self.alpha, log_baseline=log_a)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"
