"""What the networks see of a row: each coordinate in two scales, radii, and the start's leading coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Marginals

__all__ = ["side_features"]

_RADII = (math.inf, 2.0, 1.0)


def side_features(marginals: Marginals, leading: Tensor, values: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Features of all rows of one side, of mean 0 and variance 1 on the training rows.

    Args:
        marginals: of this side.
        leading: (n, at most LEADING), the start's canonical coordinates.
        values: (n, d), all rows.
        train: training rows.

    Returns:
        Features (n, p), float32, and bool (p,): what the narrow kind of network sees.
    """
    scores = marginals.scores(values)
    radii = [torch.log1p(marginals.scores(values, dof).square().sum(1, keepdim=True)) for dof in _RADII]
    narrow = torch.cat([*radii, leading.asinh()], 1)  # a leading coordinate may be as heavy-tailed as Student-t
    features = torch.cat([scores, marginals.flat(values), narrow], 1)
    variance, mean = torch.var_mean(features[train], 0)
    varies = variance > 1e-12
    features = (features - mean) * torch.where(varies, variance.clamp_min(1e-12).rsqrt(), 0.0)
    seen = torch.zeros(features.shape[1], dtype=torch.bool, device=features.device)
    seen[-narrow.shape[1] :] = True
    return features.float(), seen
