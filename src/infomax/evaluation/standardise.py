"""Features shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax.evaluation.checks import check_rows

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """Shift and scale every feature to mean 0 and variance 1 over a set; constant features become 0.

    Args:
        features: (N, D), the set. The scales are buffers: nothing is trained.

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
        variance, mean = torch.var_mean(features, dim=0, correction=0)
        if not bool(torch.isfinite(variance).all()):  # squares above 1e38; a scale of 1 / inf would erase the feature
            variance, mean = torch.var_mean(features.double(), dim=0, correction=0)
        deviation, mean = variance.sqrt().to(features.dtype), mean.to(features.dtype)
        varies = deviation > 1e-6 * mean.abs()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(varies, 1 / deviation.clamp_min(1e-30), 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Standardised features, (N, D)."""
        return (features - self.mean) * self.scale
