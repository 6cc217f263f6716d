"""A conditional density as a critic: a Gaussian whose mean and variances come from a network."""

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

    With the square expanded, T is the inner product of (y, y^2, 1) with a vector that depends on x alone, so the scores
    are streamed like those of a :class:`~infomax.DotCritic`. Use it with :class:`~infomax.CLUB` and
    :class:`~infomax.LeaveOneOut`, which need log densities as scores. Other estimators take it like any other critic.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: width of both hidden layers.
        spread: bound of the log variances, which a scaled tanh keeps within [-spread, spread]. The values of the
            globals should be of order 1.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Raises:
        TypeError: spread is not a number.
        ValueError: spread is not positive.

    Shapes:
        local (N, c, \*spatial), global (N, d) or (N, d, \*spatial), to streamed scores, in nats.

    Numerics:
        Before the square is expanded, the bias of the layer that gives the mean is subtracted from both globals and
        means. The inner products are computed in float32 at least, under autocast too. The remaining cancellation error
        is about 4e-7 times the sum of (y - bias)^2 / variance: 3e-3 nats for 16 channels whose conditional variance is
        a thousandth of the variance of the globals.

    Source:
        Cheng et al. 2020 (CLUB), section 5, for the network. The streamed form is specific to this library.

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
        """Return the mean and the log variance of a global given each local row, (K, d) each, in float32 at least.

        Args:
            local: local rows, (K, c).
        """
        hidden = self.hidden(local)
        mean, raw = widened(self.mean(hidden)), widened(self.log_variance(hidden))
        return mean, self.spread * torch.tanh(raw / self.spread)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        mean, log_variance = self.conditional(local)
        centre = widened(self.mean.bias).detach()  # unlike the mean of a batch, the same on every process
        y, mean = widened(global_) - centre, mean - centre
        precision = (-log_variance).exp()
        constant = -0.5 * (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(-1, keepdim=True)
        query = torch.cat([y, y.square(), torch.ones_like(y[:, :1])], -1)
        key = torch.cat([mean * precision, -0.5 * precision, constant], -1)
        return StreamedScores(query, key, pairing, autocast=False)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, spread={self.spread}"
