"""Scaling of float16 weights, so that small weights that matter are not rounded to subnormal numbers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LIFT", "lift_of"]

LIFT = 2.0**14
"""The magnitude to which the largest float16 weight is scaled, a quarter of the largest float16 number."""


def lift_of(dtype: torch.dtype, *grads: Tensor | None) -> Tensor | None:
    """Return the factor, a scalar tensor, that scales float16 weights; None for other dtypes or without gradients.

    Args:
        dtype: Dtype of the weights.
        *grads: The gradients from which the weights are computed, or None.
    """
    given = [grad for grad in grads if grad is not None and grad.numel()]
    if dtype != torch.float16 or not given:
        return None
    return LIFT / torch.stack([grad.abs().amax() for grad in given]).amax().clamp_min(1e-30)
