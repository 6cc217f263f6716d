"""Inputs of the networks: each coordinate on two scales, radii, and the start's leading canonical coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as nnf

from infomax.mi.closed_forms.coordinates import Coordinates
from infomax.mi.closed_forms.marginals import Marginals
from infomax.mi.closed_forms.start import LEADING

__all__ = ["SideFeatures"]

_RADII = (math.inf, 2.0, 1.0)


class SideFeatures:
    """Features of rows of one side, with mean 0 and variance 1 on the training rows.

    Args:
        marginals: the map of each coordinate of this side by itself.
        see: the map to the start's canonical coordinates; the leading ones are features.
        train: (n, d), training rows.

    Attributes:
        narrow: bool (p,), True for features that the narrow kind of network sees: radii and the leading coordinates.
    """

    def __init__(self, marginals: Marginals, see: Coordinates, train: Tensor) -> None:
        self._marginals, self._see = marginals, see.first(LEADING)
        wide, narrow = self._raw(train)
        variance, mean = torch.var_mean(torch.cat([wide, narrow], 1), 0)
        self._mean = mean
        self._scale = torch.where(variance > 1e-12, variance.clamp_min(1e-12).rsqrt(), 0.0)
        self.narrow = torch.arange(len(mean), device=train.device) >= wide.shape[1]

    def __call__(self, values: Tensor) -> Tensor:
        """Return the features (n, p), float32, of rows (n, d)."""
        return ((torch.cat(self._raw(values), 1) - self._mean) * self._scale).float()

    def _raw(self, values: Tensor) -> tuple[Tensor, Tensor]:
        scores = self._marginals.scores(values)
        radii = [torch.log1p(self._marginals.scores(values, dof).square().sum(1, keepdim=True)) for dof in _RADII]
        leading = self._see(values)
        leading = nnf.pad(leading, (0, LEADING - leading.shape[1]))
        wide = torch.cat([scores, self._marginals.flat(values)], 1)
        return wide, torch.cat([*radii, leading.asinh()], 1)  # asinh, as leading coordinates may have heavy tails
