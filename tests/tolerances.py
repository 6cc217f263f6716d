"""Tolerances of results, and the function that compares results.

An error is measured relative to the largest magnitude that is expected (at least 1): a sum of many terms is exact to
rounding of its largest term, not of the sum itself.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Errors allowed for results that are computed in a dtype from inputs taken as exact.
RELATIVE: dict[torch.dtype, float] = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.bfloat16: 1e-2,  # results are float32; gradients are rounded to 8 bits
    torch.float16: 2e-3,
}
# Errors allowed between two ways to compute the same values in one dtype, through a network.
NETWORK: dict[torch.dtype, float] = {torch.float64: 1e-9, torch.float32: 2e-4}


def error(actual: object, expected: object) -> float:
    """Return the largest difference relative to the largest magnitude expected; infinite if a result is not finite."""
    a, b = _array(actual), _array(expected)
    if a.shape != b.shape:
        raise AssertionError(f"shape {a.shape}, expected {b.shape}")
    if not np.isfinite(a).all():
        return np.inf
    return float(np.abs(a - b).max(initial=0.0) / max(1.0, np.abs(b).max(initial=0.0)))


def assert_close(actual: object, expected: object, tolerance: float, what: str = "result") -> None:
    """Raise an error unless both agree within ``tolerance``."""
    off = error(actual, expected)
    if not off <= tolerance:
        raise AssertionError(f"{what} is off by {off:.3g}, allowed {tolerance:.3g}: {actual!r} instead of {expected!r}")


def _array(value: object) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().to(torch.float64).numpy()
    return np.asarray(value, dtype=np.float64)
