"""A conditional density as critic: a Gaussian whose mean and variances a network gives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from infomax._checks import check_number, check_positive
from infomax._precision import place, widened
from infomax.critics.base import Critic
from infomax.pairs.pairing import Pairing
from infomax.scores import StreamedScores

__all__ = ["GaussianCritic"]


class GaussianCritic(Critic):
    r"""The log density of a global given a local: a diagonal Gaussian with learned mean and variances.

    .. math:: T(x, y) = \log q(y \mid x) = -\frac{1}{2} \sum_d \Big[ \frac{(y_d - \mu_d(x))^2}{\sigma_d^2(x)}
              + \log \sigma_d^2(x) + \log 2 \pi \Big]

    Written out, the square makes T an inner product of (y, y^2, 1) with what depends on x, so the scores are streamed
    as those of a :class:`~infomax.DotCritic`. It is the critic of :class:`~infomax.CLUB` and
    :class:`~infomax.LeaveOneOut`, whose scores must be log densities. Other estimators take it like any other critic.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: width of both hidden layers.
        spread: log variances stay within [-spread, spread], smoothly; globals should be of the order of 1.
        device: where the parameters are.
        dtype: of the parameters.

    Raises:
        TypeError: spread is no number.
        ValueError: spread is not positive.

    Shapes:
        local (N, c, \*spatial), global (N, d) or (N, d, \*spatial), to streamed scores, in nats.

    Numerics:
        Globals and means are taken relative to the bias of the mean before the square is written out, and the inner
        products stay in float32 at least, under autocast too. What is left of the cancellation is about 4e-7 times the
        sum of (y - bias)^2 / variance: 3e-3 nats for 16 channels whose variance is a thousandth of the globals' own.

    Source:
        Cheng et al. 2020 (CLUB), section 5, for the network; the streamed form is ours.

    Example:
        >>> import torch
        >>> from infomax import CLUB, GaussianCritic
        >>> density = GaussianCritic(32, 8, units=64)
        >>> scores = density(torch.randn(4, 32, 5), torch.randn(4, 8))
        >>> loss, nats = CLUB()(scores), CLUB().mutual_information(scores)
    """

    is_density = True

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        units: int = 256,
        spread: float = 10.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        units = check_positive("units", units)
        self.spread = check_number("spread", spread, above=0)
        self.hidden = nn.Sequential(nn.Linear(local_dim, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
        self.mean = nn.Linear(units, global_dim)
        self.log_variance = nn.Linear(units, global_dim)
        place(self, device, dtype)

    def conditional(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of a global given each local row: (K, c) to (K, d) and (K, d), float32 at least."""
        hidden = self.hidden(local)
        mean, raw = widened(self.mean(hidden)), widened(self.log_variance(hidden))
        return mean, self.spread * torch.tanh(raw / self.spread)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        mean, log_variance = self.conditional(local)
        centre = widened(self.mean.bias).detach()  # the same on every process, unlike a batch's mean
        y, mean = widened(global_) - centre, mean - centre
        precision = (-log_variance).exp()
        constant = -0.5 * (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(-1, keepdim=True)
        query = torch.cat([y, y.square(), torch.ones_like(y[:, :1])], -1)
        key = torch.cat([mean * precision, -0.5 * precision, constant], -1)
        return StreamedScores(query, key, pairing, autocast=False)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, spread={self.spread}"
