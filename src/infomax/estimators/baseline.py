"""The baseline of TUBA: an average over batches, or a parameter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from infomax._checks import check_choice, check_number
from infomax.estimators.average import LogAverage
from infomax.estimators.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = ["Baseline", "check_alpha", "improved_log_baseline", "log_weights", "means_with_joint"]


def means_with_joint(scores: PairScores) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Joint scores (J,), log of the mean of e^T over K pairs (M,) and with the joint one (J,), and the K (M,)."""
    joint, marginal = scores.reduce("logsumexp")
    count = scores.count().to(marginal.dtype)
    with_joint = torch.logaddexp(joint, scores.per_joint(marginal)) - scores.per_joint(count.log1p())
    # A global without marginal pairs has no mean, and no weight in the one over globals.
    mean = torch.where(count > 0, marginal, 0.0) - count.clamp_min(1).log()
    return joint, mean, with_joint, count


def log_weights(alpha: float) -> tuple[float, float]:
    """Logs of alpha and of 1 - alpha."""
    check_alpha(alpha)
    return math.log(alpha) if alpha > 0 else -math.inf, math.log1p(-alpha) if alpha < 1 else -math.inf


def check_alpha(alpha: object) -> float:
    """Return alpha if it is a number in [0, 1], else raise."""
    number = check_number("alpha", alpha)
    if not 0 <= number <= 1:
        raise ValueError(f"alpha must be in [0, 1], 0 for TUBA and 1 for InfoNCE, got {alpha}")
    return number


@torch.no_grad()
def improved_log_baseline(scores: PairScores, log_baseline: Tensor, *, alpha: float) -> Tensor:
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
    """
    log_alpha, log_rest = log_weights(alpha)
    _, mean, mean_with_joint, count = means_with_joint(scores)
    rest = log_baseline.to(mean.dtype) + log_rest
    of_marginal = (count.log() + mean + rest - 2 * torch.logaddexp(mean + log_alpha, rest)).logsumexp(0)
    of_joint = (rest - torch.logaddexp(mean_with_joint + log_alpha, rest)).logsumexp(0)
    improved: Tensor = rest - log_rest + of_marginal - count.sum().log() - of_joint + math.log(len(mean_with_joint))
    return improved


class Baseline(nn.Module):
    """One number for log a: a moving average of the best for each batch, or a parameter.

    The best is the mean of e^T where alpha is 0. Above 0 it is lower, as globals with a large mean of their own hardly
    read a; each batch then brings the average nearer to it by a step.

    Args:
        kind: ``"average"`` or ``"learned"``.
        alpha: of the bound.
        rate: weight of the newest batch in the average, in (0, 1].

    Raises:
        TypeError: rate is no number.
        ValueError: the kind is unknown, or rate is not in (0, 1].
    """

    def __init__(self, kind: str, *, alpha: float, rate: float) -> None:
        super().__init__()
        check_choice("baseline", kind, ("average", "learned"))
        self.kind = kind
        self.alpha = alpha
        self.average = LogAverage(rate)
        self.log_value = nn.Parameter(torch.zeros(())) if kind == "learned" else None

    def read(self) -> Tensor:
        """Log a as it stands, which no batch to be measured has entered; 0 before the first batch."""
        if self.log_value is not None:
            return self.log_value
        average = self.average.value
        return average.where(average != -torch.inf, 0.0)

    def forward(self, scores: PairScores) -> Tensor:
        """Log a for the loss of a batch. An average takes the batch in first, in training mode."""
        if self.kind == "learned" or not self.training:
            return self.read()
        marginal = scores.reduce("logsumexp").marginal  # with a graph: the loss reads the same
        with torch.no_grad():
            newest = log_mean_exp_marginal(scores, marginal)
            if 0 < self.alpha < 1:  # with 1 the bound does not read it
                known = self.average.value
                known = known.where(known != -torch.inf, newest.to(known.dtype))
                newest = improved_log_baseline(scores, known, alpha=self.alpha)
            average: Tensor = self.average(newest)
            self.average.value.copy_(average)
        return average

    def extra_repr(self) -> str:
        return f"{self.kind!r}"
