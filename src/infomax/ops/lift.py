"""Half precision weights, lifted so that the smallest that matter stay normal numbers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LIFT", "lift_of"]

LIFT = 2.0**14
"""What the largest weight of a float16 becomes; such a number holds four times as much."""


def lift_of(dtype: torch.dtype, *grads: Tensor | None) -> Tensor | None:
    """Return the factor, a scalar tensor, by which weights made of gradients fit a dtype; only a float16 needs one.

    Args:
        dtype: Of the weights.
        *grads: The gradients, or None.
    """
    given = [grad for grad in grads if grad is not None and grad.numel()]
    if dtype != torch.float16 or not given:
        return None
    return LIFT / torch.stack([grad.abs().amax() for grad in given]).amax().clamp_min(1e-30)
