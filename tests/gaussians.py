"""Closed forms for normal variables: information, log density ratios, divergences. Imports nothing of the library."""

from __future__ import annotations

import math

import numpy as np


def gaussian_information(correlation: float) -> float:
    """Return the MI in nats of two standard normals with this correlation."""
    return -0.5 * math.log(1 - correlation**2)


def gaussian_log_ratio(x: np.ndarray, y: np.ndarray, correlation: float) -> np.ndarray:
    """Return ``log p(x, y) / p(x) p(y)`` of all pairs: x (n, d), y (m, d) to (m, n)."""
    r = correlation
    table = np.zeros((len(y), len(x)))
    for d in range(x.shape[1]):
        a, b = x[None, :, d], y[:, None, d]
        table += -0.5 * math.log(1 - r**2) - (r**2 * (a**2 + b**2) - 2 * r * a * b) / (2 * (1 - r**2))
    return table


def gaussian_chi2(correlation: float) -> float:
    """Return the chi-squared divergence of the joint from the product: ``E_joint[r] - 1``."""
    return 1 / (1 - correlation**2) - 1


def gaussian_hellinger(correlation: float) -> float:
    r"""Return the squared Hellinger divergence ``2 - 2 E_product[\sqrt{r}]`` in the f-GAN's normalisation."""
    return 2 - 2 * (1 - correlation**2) ** 0.25 / (1 - correlation**2 / 4) ** 0.5


def gaussian_reverse_kl(correlation: float) -> float:
    """Return the KL divergence of the product from the joint."""
    r2 = correlation**2
    return r2 / (1 - r2) + 0.5 * math.log(1 - r2)
