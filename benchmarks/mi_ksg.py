"""The nearest-neighbour estimator of Kraskov, Stögbauer and Grassberger, for any number of coordinates."""

from __future__ import annotations

import numpy as np

__all__ = ["ksg"]

_JITTER = 1e-10


def ksg(x: np.ndarray, y: np.ndarray, neighbours: int = 3) -> float:
    r"""Estimate mutual information, in nats, by the first estimator of Kraskov et al. 2004 (equation 8).

    .. math:: \psi(k) + \psi(n) - \overline{\psi(n_x + 1) + \psi(n_y + 1)}

    Each coordinate is shifted to mean 0 and scaled to variance 1. Noise of 1e-10 then breaks ties, as in scikit-learn,
    whose estimator takes one coordinate per side.

    Args:
        x: (n, dx).
        y: (n, dy).
        neighbours: k, the number of neighbours.
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma

    rows = len(x)
    sides = [_scaled(side, seed) for seed, side in enumerate((x, y))]
    joint = np.concatenate(sides, 1)
    distance = cKDTree(joint).query(joint, k=[neighbours + 1], p=np.inf)[0][:, 0]
    within = np.nextafter(distance, 0)  # so that only rows strictly nearer than the k-th neighbour count
    counts = [cKDTree(side).query_ball_point(side, within, p=np.inf, return_length=True) for side in sides]
    # Each count includes the row itself, so it is n_x + 1 or n_y + 1.
    return float(digamma(neighbours) + digamma(rows) - np.mean(digamma(counts[0]) + digamma(counts[1])))


def _scaled(side: np.ndarray, seed: int) -> np.ndarray:
    values = np.asarray(side, dtype=np.float64)
    spread = values.std(0)
    scaled = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    return scaled + _JITTER * np.random.default_rng(seed).standard_normal(scaled.shape)
