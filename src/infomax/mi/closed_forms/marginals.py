"""Increasing maps of each coordinate by itself, which keep the mutual information: ranks and standardisation."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from infomax.mi.closed_forms.student import student_quantile

__all__ = ["Marginals", "Ranks", "Standardised"]

_FARTHEST = 1e15  # standard deviations; the square of such a score still fits in float32


class Marginals:
    """A map of each coordinate by itself, learnt on training rows and then fixed.

    Args:
        train: (n, d), training rows, float64.
    """

    def __init__(self, train: Tensor) -> None:
        self.dim = train.shape[1]

    def scores(self, values: Tensor, dof: float = float("inf")) -> Tensor:
        """Return the coordinates on the scale of Student's t with ``dof`` degrees of freedom, (n, d)."""
        raise NotImplementedError

    def flat(self, values: Tensor) -> Tensor:
        """Return the coordinates on a bounded scale, (n, d): within [-1, 1], and roughly uniform."""
        raise NotImplementedError


class Ranks(Marginals):
    """Ranks among the training rows, mapped to the quantiles of a distribution: the copula transform.

    A value between two training values gets the rank midway between their ranks. Tied values share the mean of their
    ranks. A value beyond all training values gets the rank of the nearest one, so no test row is outside the range that
    the critic was trained on. An increasing function of a coordinate does not change its ranks.

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
        """Return (n, d): the number of training values below each value plus the number that are not above it."""
        last = self._last  # callers look up the same rows on several scales, one after the other
        if last is None or last[0] is not values:
            last = self._last = (values, self._counted(values))
        return last[1]  # not self._last, which another thread may have set since

    def __getstate__(self) -> dict[str, object]:
        """Leave out the cached rows, which are not part of the map."""
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
    """Return the quantile for each sum that ``_places`` can return; values beyond the extremes get theirs."""
    places = torch.arange(2 * n + 1, dtype=torch.float64)
    return student_quantile((places / (2 * n)).clamp(0.5 / n, 1 - 0.5 / n), dof)


class Standardised(Marginals):
    """Coordinates shifted and scaled to mean 0 and variance 1 on the training rows; ``dof`` has no effect.

    The distribution keeps its shape and tails. Each coordinate is first multiplied by a power of 2 that brings its
    largest absolute training value to about 1. So no square overflows or underflows, and the unit of a coordinate does
    not matter. Scores are clamped to [-1e15, 1e15].

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
        # Two factors, because one power of 2 would overflow where the largest value is subnormal.
        self._factors = torch.ldexp(one, half), torch.ldexp(one, -exponent - half)
        variance, self._mean = torch.var_mean(self._scaled(train), dim=0, correction=0)
        # A coordinate that varies over all rows may be constant on the training rows.
        varies = train.amax(0) > train.amin(0)
        self._scale = torch.where(varies & (variance > 0), variance, 1.0).sqrt()

    def _scaled(self, values: Tensor) -> Tensor:
        first, second = self._factors
        return values * first * second

    def scores(self, values: Tensor, dof: float = float("inf")) -> Tensor:  # noqa: ARG002 (the shape is kept)
        return ((self._scaled(values) - self._mean) / self._scale).clamp(-_FARTHEST, _FARTHEST)

    def flat(self, values: Tensor) -> Tensor:
        return torch.tanh(0.5 * self.scores(values))
