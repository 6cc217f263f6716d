"""Features shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax.evaluation.checks import check_rows

__all__ = ["Standardise"]

_COLUMNS = 64  # at a time: wide layers take gigabytes, and so would each copy of them


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
        parts = [_mean_and_scale(part) for part in torch.split(features, _COLUMNS, dim=1)]
        mean, scale = (torch.cat(of_parts) for of_parts in zip(*parts, strict=True))
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """Standardised features, (N, D)."""
        return (features - self.mean) * self.scale


def _mean_and_scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each column and one over its deviation; 0 where it is constant."""
    low, high = features.aminmax(dim=0)
    mean = features.double().mean(0).to(features.dtype)
    centred = features - mean
    largest = torch.where(high > low, centred.abs().amax(0), 1.0)  # its squares neither overflow nor vanish
    deviation = (centred / largest).square().mean(0).sqrt() * largest
    # What varies by rounding alone is constant; and one over the smallest numbers is infinite.
    varies = (high > low) & (deviation > 2 * torch.finfo(features.dtype).eps * mean.abs())
    scale = 1 / torch.where(varies, deviation, 1.0)
    return mean, torch.where(varies & scale.isfinite(), scale, 0.0)
