"""TUBA and its interpolation with InfoNCE as a module, and the baseline that it needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax import functional as F
from infomax._checks import check_choice, check_clip
from infomax.estimators.average import check_rate, log_average_with
from infomax.estimators.base import Estimator
from infomax.functional.means import log_mean_exp_marginal
from infomax.functional.tuba import check_alpha, improved_log_baseline
from infomax.scores import PairScores

__all__ = ["TUBA", "Baseline"]


class Baseline(nn.Module):
    """One number for log a: a moving average of the best for each batch, or a parameter.

    The best is the mean of e^T where alpha is 0. Above 0 it is lower, as globals with a large mean of their own hardly
    read a; each batch then brings the average nearer to it by a step.

    Args:
        kind: ``"average"`` or ``"learned"``.
        alpha: of the bound.
        rate: weight of the newest batch in the average, in (0, 1].
        clip: of the scores that are averaged.

    Raises:
        TypeError: rate is no number.
        ValueError: the kind is unknown, or rate is not in (0, 1].
    """

    def __init__(self, kind: str, *, alpha: float, rate: float, clip: float | None) -> None:
        super().__init__()
        check_choice("baseline", kind, ("average", "learned"))
        self.kind = kind
        self.alpha = alpha
        self.rate = check_rate(rate)
        self.clip = check_clip(clip)
        if kind == "learned":
            self.log_value = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("log_value", torch.tensor(-torch.inf))  # nothing seen yet

    def read(self) -> Tensor:
        """Log a as it stands, which no batch to be measured has entered; 0 before the first batch."""
        return self.log_value.where(self.log_value != -torch.inf, 0.0)

    def forward(self, scores: PairScores) -> Tensor:
        """Log a for the loss of a batch. An average takes the batch in first, in training mode."""
        if self.kind == "learned" or not self.training:
            return self.read()
        marginal = scores.reduce("logsumexp", self.clip).marginal  # with a graph: the loss reads the same
        with torch.no_grad():
            newest = log_mean_exp_marginal(scores, marginal)
            if 0 < self.alpha < 1:  # with 1 the bound does not read it
                known = self.log_value.where(self.log_value != -torch.inf, newest.to(self.log_value.dtype))
                newest = improved_log_baseline(scores, known, alpha=self.alpha, clip=self.clip)
            average = log_average_with(self.log_value, newest, self.rate)
            self.log_value.copy_(average)
        return average

    def extra_repr(self) -> str:
        return f"{self.kind!r}" if self.kind == "learned" else f"{self.kind!r}, rate={self.rate}"


class TUBA(Estimator):
    """A bound whose partition function is a number of its own: :func:`~infomax.functional.tuba_loss`.

    Or, with alpha above 0, partly the batch's mean: :func:`~infomax.functional.alpha_tuba_loss`. With alpha = 0 and an
    average as baseline the *gradient* is that of :class:`~infomax.MINE`; what is read differs, and stays below the
    truth in small batches too, because the average it reads comes from earlier ones.

    Args:
        alpha: 0 is TUBA, 1 is :class:`~infomax.InfoNCE`.
        baseline: ``"average"``, a moving average over batches of the baseline with the highest bound, which for TUBA is
            the mean of e^T; or ``"learned"``, a parameter. Either is log a = 0 before the first batch.
        rate: weight of the newest batch in the average, in (0, 1].
        clip: bring all scores into [-clip, clip].

    Raises:
        TypeError: alpha or rate is no number.
        ValueError: baseline is unknown; alpha is not in [0, 1], rate not in (0, 1]; clip is not positive.

    Numerics:
        In training mode the average takes the batch in before its loss is computed, so that the loss is finite for
        every finite score. A learned or given baseline can be overrun: see :func:`~infomax.functional.tuba_loss`.

    Example:
        >>> import torch
        >>> from infomax import TUBA, functional as F
        >>> scores = F.dense_scores(3.0 * torch.eye(4))
        >>> TUBA().mutual_information(scores)
        tensor(3.)
        >>> TUBA().mutual_information(scores, log_baseline=torch.ones(4))  # one for each global: here NWJ's
        tensor(2.6321)
    """

    bias = "none, given a baseline from other batches"
    variance = "high: grows as e^I, less with a good baseline"

    def __init__(
        self, *, alpha: float = 0.0, baseline: str = "average", rate: float = 0.1, clip: float | None = None
    ) -> None:
        super().__init__()
        self.alpha = check_alpha(alpha)
        self.clip = check_clip(clip)
        self.baseline = Baseline(baseline, alpha=self.alpha, rate=rate, clip=self.clip)
        if alpha > 0:
            self.bias = "down, at most about log((1 + K) / alpha)"
            self.variance = "between InfoNCE's and NWJ's"

    def forward(self, scores: PairScores, log_baseline: float | Tensor | None = None) -> Tensor:
        """Return the loss; ``log_baseline``, if given, takes the place of the estimator's own."""
        return -self._bound(scores, self.baseline(scores) if log_baseline is None else log_baseline)

    def mutual_information(self, scores: PairScores, log_baseline: float | Tensor | None = None) -> Tensor:
        """Return the estimate in nats; ``log_baseline`` as in :meth:`forward`."""
        with torch.no_grad():
            return self._bound(scores, self.baseline.read() if log_baseline is None else log_baseline).detach()

    def _estimate(self, scores: PairScores) -> Tensor:
        return self._bound(scores, self.baseline.read())

    def _bound(self, scores: PairScores, log_a: float | Tensor) -> Tensor:
        if self.alpha == 0:
            return F.tuba_estimate(scores, log_baseline=log_a, clip=self.clip)
        return F.alpha_tuba_estimate(scores, alpha=self.alpha, log_baseline=log_a, clip=self.clip)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, clip={self.clip}"
