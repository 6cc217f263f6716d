"""Standardisation of features to mean 0 and variance 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax.evaluation.checks import check_rows

__all__ = ["Standardise"]

_COLUMNS = 64  # columns at a time: a wide layer takes gigabytes, and so would each temporary copy of it


class Standardise(nn.Module):
    """A module that shifts and scales each feature to mean 0 and variance 1 over a set; constant features become 0.

    Args:
        features: (N, D), the set. Means and scales are buffers and are not trained.

    Example:
        >>> features = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
        >>> Standardise(features)(features)
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        features = check_rows("features", features)
        parts = [_mean_and_scale(part) for part in torch.split(features, _COLUMNS, dim=1)]
        mean, scale = (torch.cat(of_parts) for of_parts in zip(*parts, strict=True))
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised features, (N, D)."""
        return (features - self.mean) * self.scale


def _mean_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each column and the reciprocal of its deviation, which is 0 for a constant column."""
    low, high = features.aminmax(dim=0)
    mean = features.double().mean(0).to(features.dtype)
    centred = features - mean
    largest = torch.where(high > low, centred.abs().amax(0), 1.0)  # keeps the squares from overflow and underflow
    deviation = (centred / largest).square().mean(0).sqrt() * largest
    # A column that varies only by rounding counts as constant; so does one whose reciprocal deviation is infinite.
    varies = (high > low) & (deviation > 2 * torch.finfo(features.dtype).eps * mean.abs())
    scale = 1 / torch.where(varies, deviation, 1.0)
    return mean, torch.where(varies & scale.isfinite(), scale, 0.0)
