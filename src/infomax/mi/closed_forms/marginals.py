"""One coordinate at a time: to ranks, and from ranks to the quantiles of a distribution. MI does not notice."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from infomax.mi.closed_forms.student import student_quantile

__all__ = ["Marginals", "Ranks", "Standardised"]

_FARTHEST = 1e15  # standard deviations: squares of scores are float32 numbers


class Marginals:
    """A fixed map of every coordinate by itself, learnt on training rows.

    Args:
        train: (n, d), float64.
    """

    def __init__(self, train: Tensor) -> None:
        self.dim = train.shape[1]

    def scores(self, values: Tensor, dof: float = float("inf")) -> Tensor:
        """Coordinates on the scale of Student's t with ``dof`` degrees of freedom; (n, d)."""
        raise NotImplementedError

    def flat(self, values: Tensor) -> Tensor:
        """Coordinates on a bounded scale, about uniform in (-1, 1); (n, d)."""
        raise NotImplementedError


class Ranks(Marginals):
    """Ranks among the training rows, as the quantiles of a distribution: the copula transform.

    A value between two training values gets the rank between theirs, a tie the middle of its ranks, so that no test
    row lies outside of what a critic has seen. Increasing functions of a coordinate do not change the ranks at all.

    Example:
        >>> train = torch.tensor([[1.0], [2.0], [30.0]], dtype=torch.float64)
        >>> Ranks(train).flat(torch.tensor([[2.0], [1e9]], dtype=torch.float64)).squeeze(1)
        tensor([0.0000, 0.6667], dtype=torch.float64)
    """

    def __init__(self, train: Tensor) -> None:
        super().__init__(train)
        self._sorted = train.T.contiguous().sort(dim=1).values
        self._last: tuple[Tensor, Tensor] | None = None

    def _places(self, values: Tensor) -> Tensor:
        """(n, d), how many training values lie below and how many not above, added up: 0 to twice their number."""
        last = self._last  # the same rows are asked for on several scales, one after the other
        if last is None or last[0] is not values:
            last = self._last = (values, self._counted(values))
        return last[1]  # not self._last, which another thread may have set since

    def __getstate__(self) -> dict[str, object]:
        """Without the rows last looked up: they are no part of the map."""
        return {**vars(self), "_last": None}

    def _counted(self, values: Tensor) -> Tensor:
        columns = values.T.contiguous()
        below = torch.searchsorted(self._sorted, columns)
        return (below + torch.searchsorted(self._sorted, columns, right=True)).T

    def scores(self, values: Tensor, dof: float = float("inf")) -> Tensor:
        table = _quantiles(self._sorted.shape[1], dof).to(values.device)
        return table[self._places(values)]

    def flat(self, values: Tensor) -> Tensor:
        n = self._sorted.shape[1]
        return (self._places(values).double() / n - 1).clamp(1 / n - 1, 1 - 1 / n)


@lru_cache(maxsize=32)
def _quantiles(n: int, dof: float) -> Tensor:
    """Quantile for each of the places among n values; the extreme ones are those of the extreme values."""
    places = torch.arange(2 * n + 1, dtype=torch.float64)
    return student_quantile((places / (2 * n)).clamp(0.5 / n, 1 - 0.5 / n), dof)


class Standardised(Marginals):
    """Mean 0 and variance 1 on the training rows; the distribution keeps its shape and tails, whatever ``dof``.

    A power of 2 brings the largest training value of each coordinate to about 1 first, so that no square overflows or
    vanishes: the unit of a coordinate changes nothing. No score is farther from 0 than 1e15.

    Example:
        >>> train = torch.tensor([[0.0], [1e200], [2e200]], dtype=torch.float64)
        >>> Standardised(train).scores(train).squeeze(1)
        tensor([-1.2247,  0.0000,  1.2247], dtype=torch.float64)
    """

    def __init__(self, train: Tensor) -> None:
        super().__init__(train)
        exponent = torch.frexp(train.abs().amax(0)).exponent
        half = torch.div(-exponent, 2, rounding_mode="floor")
        one = torch.ones_like(train[0])
        # Two factors: of a subnormal number, 2 to the power of the whole would overflow.
        self._factors = torch.ldexp(one, half), torch.ldexp(one, -exponent - half)
        variance, self._mean = torch.var_mean(self._scaled(train), dim=0, correction=0)
        # A coordinate may vary elsewhere and not here.
        varies = train.amax(0) > train.amin(0)
        self._scale = torch.where(varies & (variance > 0), variance, 1.0).sqrt()

    def _scaled(self, values: Tensor) -> Tensor:
        first, second = self._factors
        return values * first * second

    def scores(self, values: Tensor, dof: float = float("inf")) -> Tensor:  # noqa: ARG002 (its shape is its own)
        return ((self._scaled(values) - self._mean) / self._scale).clamp(-_FARTHEST, _FARTHEST)

    def flat(self, values: Tensor) -> Tensor:
        return torch.tanh(0.5 * self.scores(values))
