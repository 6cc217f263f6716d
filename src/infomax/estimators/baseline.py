"""The baseline of TUBA: a moving average over batches, or a parameter."""

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
    """Return joint scores, log means of e^T and counts.

    Returns:
        The joint scores, (J,); the log of the mean of e^T over the K marginal pairs of each global, (M,); the log of
        the mean over these and one joint pair, for each joint pair, (J,); and K, (M,).
    """
    joint, marginal = scores.reduce("logsumexp")
    count = scores.count().to(marginal.dtype)
    with_joint = torch.logaddexp(joint, scores.per_joint(marginal)) - scores.per_joint(count.log1p())
    # A global without marginal pairs has no mean: 0 takes its place, and K = 0 is its weight in means over globals.
    mean = torch.where(count > 0, marginal, 0.0) - count.clamp_min(1).log()
    return joint, mean, with_joint, count


def log_weights(alpha: float) -> tuple[float, float]:
    """Return the logs of alpha and of 1 - alpha."""
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
    r"""Return the log of a baseline with a higher interpolated bound on this batch; log a itself if a is the best.

    .. math:: \log a + \log \mathbb{E}_y\Big[ \frac{m_K \, a}{(\alpha m_K + (1 - \alpha) a)^2} \Big]
              - \log \mathbb{E}_\mathrm{joint}\Big[ \frac{a}{\alpha m_{1 + K} + (1 - \alpha) a} \Big]

    The two expectations are the two terms of the bound's derivative by log a, so they are equal where the bound is
    highest. With alpha = 0 the result is the log of the mean of e^T, for any a. Adding one constant to all scores and
    to log a does not change the bound. So with the best a, the gradient shifts the scores neither up nor down as a
    whole. With alpha above 0 and the mean of e^T as a, the gradient does shift them: the scores and the moving average
    of that mean then drift together without end.

    Args:
        scores: joint and marginal scores.
        log_baseline: log a, a scalar.
        alpha: weight of the batch's own mean, in [0, 1).
    """
    log_alpha, log_rest = log_weights(alpha)
    _, mean, mean_with_joint, count = means_with_joint(scores)
    rest = log_baseline.to(mean.dtype) + log_rest
    of_marginal = (count.log() + mean + rest - 2 * torch.logaddexp(mean + log_alpha, rest)).logsumexp(0)
    of_joint = (rest - torch.logaddexp(mean_with_joint + log_alpha, rest)).logsumexp(0)
    joints = mean.new_full((), len(mean_with_joint))  # a tensor: a compiler would fix the size for `math.log`
    improved: Tensor = rest - log_rest + of_marginal - count.sum().log() - of_joint + joints.log()
    return improved


class Baseline(nn.Module):
    """One number for log a: a moving average of the best baseline of each batch, or a parameter.

    With alpha = 0 the best baseline is the mean of e^T. With alpha above 0 it is lower, because the terms of globals
    with a large mean of their own hardly depend on a; each batch then moves the average one step towards it.

    Args:
        kind: ``"average"`` or ``"learned"``.
        alpha: weight of the batch's own mean in the bound.
        rate: weight of the newest batch in the average, in (0, 1].

    Raises:
        TypeError: rate is not a number.
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
        """Return the current log a without adding a batch to the average; 0 before the first batch."""
        if self.log_value is not None:
            return self.log_value
        average = self.average.value
        return average.where(average != -torch.inf, 0.0)

    def forward(self, scores: PairScores) -> Tensor:
        """Return log a for the loss of a batch. In training mode, an average includes the batch first."""
        if self.kind == "learned" or not self.training:
            return self.read()
        marginal = scores.reduce("logsumexp").marginal  # with a graph, so that the loss reuses it
        with torch.no_grad():
            newest = log_mean_exp_marginal(scores, marginal)
            if 0 < self.alpha < 1:  # with alpha = 1 the bound does not depend on a
                known = self.average.value
                known = known.where(known != -torch.inf, newest.to(known.dtype))
                newest = improved_log_baseline(scores, known, alpha=self.alpha)
            average: Tensor = self.average(newest)
            self.average.value.copy_(average)
        return average

    def extra_repr(self) -> str:
        return f"{self.kind!r}"
