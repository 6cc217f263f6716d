"""Canonical correlation analysis: pairs of directions, one in each side, that correlate most."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Canonical"]


class Canonical:
    """Canonical correlation analysis of two sides.

    Args:
        x: (n, dx), training rows of x.
        y: (n, dy), training rows of y.

    Attributes:
        mean_x: (dx,), mean of x.
        mean_y: (dy,), mean of y.
        to_x: (dx, dx), map from centred rows of x to uncorrelated coordinates of variance 1, the canonical ones first.
        to_y: (dy, dy), likewise for y.
        correlation: (min(dx, dy),), canonical correlations, descending, corrected for the number of coordinates.
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        n = x.shape[0]
        self.mean_x: Tensor = x.mean(0)
        self.mean_y: Tensor = y.mean(0)
        white_x, white_y = _whitening(x - self.mean_x), _whitening(y - self.mean_y)
        cross = ((x - self.mean_x) @ white_x).T @ ((y - self.mean_y) @ white_y) / n
        left, correlation, right = torch.linalg.svd(cross)
        self.to_x: Tensor = white_x @ left
        self.to_y: Tensor = white_y @ right.T
        # As in adjusted R^2: with n rows, the largest correlation with d directions of noise is about sqrt(d / n).
        free = n - 1 - max(x.shape[1], y.shape[1])
        unexplained = (1 - correlation.square()) * ((n - 1) / max(free, 1))
        self.correlation: Tensor = (1 - unexplained).clamp(0.0, 0.9999999).sqrt()

    def of_x(self, rows: Tensor) -> Tensor:
        """Return the canonical coordinates (m, dx) of rows of x, (m, dx)."""
        white: Tensor = (rows - self.mean_x) @ self.to_x
        return white

    def of_y(self, rows: Tensor) -> Tensor:
        """Return the canonical coordinates (m, dy) of rows of y, (m, dy)."""
        white: Tensor = (rows - self.mean_y) @ self.to_y
        return white


def _whitening(centred: Tensor) -> Tensor:
    """Return a (d, d) matrix that gives centred rows covariance I; directions without variance are mapped to 0."""
    variance, basis = torch.linalg.eigh(centred.T @ centred / centred.shape[0])
    kept = variance > 1e-8 * variance[-1]
    white: Tensor = basis * torch.where(kept, variance.clamp_min(1e-300).rsqrt(), 0.0)
    return white
