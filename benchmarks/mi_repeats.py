"""Data whose values repeat: counts, rounded numbers, answers and labels, independent and dependent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Repeats", "repeats"]

Samples = tuple[np.ndarray, np.ndarray]
Rng = np.random.Generator


class Repeats(NamedTuple):
    """A kind of data: its truth in nats, its number of pairs, and how one sample is drawn, given that number."""

    nats: float
    rows: int
    draw: Callable[[Rng, int], Samples]
    group: str


def repeats() -> dict[str, Repeats]:
    """Return the kinds of data by name."""
    independent = {
        "ages, a number": lambda rng, n: (rng.integers(0, 90, (n, 1)), rng.normal(size=(n, 1))),
        "90 levels, 50 levels": lambda rng, n: (rng.integers(0, 90, (n, 1)), rng.integers(0, 50, (n, 1))),
        "one decimal": lambda rng, n: (rng.normal(size=(n, 1)).round(1), rng.normal(size=(n, 1)).round(1)),
        "5 counts, 5 counts": lambda rng, n: (rng.poisson(1, (n, 5)), rng.poisson(1, (n, 5))),
        "5 counts, a number": lambda rng, n: (rng.poisson(1, (n, 5)), rng.normal(size=(n, 1))),
        "3 answers, 3 answers": lambda rng, n: (rng.integers(0, 5, (n, 3)), rng.integers(0, 5, (n, 3))),
        "2 answers, yes or no": lambda rng, n: (rng.integers(0, 5, (n, 2)), rng.integers(0, 2, (n, 1)) > 0),
        "25 labels, 25 labels": lambda rng, n: (_labels(rng, 25, n), _labels(rng, 25, n)),
        "zeros and numbers": lambda rng, n: (_or_zero(rng, n), _or_zero(rng, n)),
    }
    dependent = {
        "10 labels, half kept": Repeats(_kept_nats(10), 1000, lambda rng, n: _kept(rng, 10, (n, 1), str), ""),
        "30 labels, half kept": Repeats(_kept_nats(30), 1000, lambda rng, n: _kept(rng, 30, (n, 1), str), ""),
        "30 levels, half kept": Repeats(_kept_nats(30), 1000, lambda rng, n: _kept(rng, 30, (n, 1), int), ""),
        "3 answers, half kept": Repeats(3 * _kept_nats(5), 1000, lambda rng, n: _kept(rng, 5, (n, 3), int), ""),
        "counts with a common part": Repeats(_common_nats(4.0, 2.0), 1000, _common, ""),
        "correlated, one decimal": Repeats(-0.5 * math.log(1 - 0.8**2), 1000, _rounded, ""),
        "the same zeros": Repeats(math.log(2) + 0.25 * math.log(2), 1000, _same_zeros, ""),
    }
    return {
        **{name: Repeats(0.0, 1000, draw, "independent") for name, draw in independent.items()},
        **{name: case._replace(group="dependent") for name, case in dependent.items()},
    }


def _labels(rng: Rng, count: int, n: int) -> np.ndarray:
    return rng.integers(0, count, (n, 1)).astype(str)


def _or_zero(rng: Rng, n: int) -> np.ndarray:
    return rng.normal(size=(n, 1)) * (rng.uniform(size=(n, 1)) < 0.5)


def _kept(rng: Rng, count: int, shape: tuple[int, int], kind: type) -> Samples:
    """Draw x, and y that is x in half of the places and drawn anew in the others."""
    x = rng.integers(0, count, shape)
    return x.astype(kind), np.where(rng.uniform(size=shape) < 0.5, x, rng.integers(0, count, shape)).astype(kind)


def _kept_nats(count: int) -> float:
    same, other = 0.5 + 0.5 / count, 0.5 / count
    return math.log(count) + same * math.log(same) + (count - 1) * other * math.log(other)


def _common(rng: Rng, n: int) -> Samples:
    common = rng.poisson(4, (n, 1))
    return common + rng.poisson(2, (n, 1)), common + rng.poisson(2, (n, 1))


def _common_nats(common: float, own: float, most: int = 60) -> float:
    """Return the information of two counts that are a common and an own Poisson count each."""

    def poisson(mean: float) -> np.ndarray:
        return np.exp([k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(most)])

    of_common, of_own = poisson(common), poisson(own)
    joint = np.zeros((2 * most, 2 * most))
    for shared, share in enumerate(of_common):
        joint[shared : shared + most, shared : shared + most] += share * np.outer(of_own, of_own)
    independent = np.outer(joint.sum(1), joint.sum(0))
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / independent[held])).sum())


def _rounded(rng: Rng, n: int) -> Samples:
    """Draw correlated normal numbers with one decimal; rounding takes less than 0.001 nats."""
    x, noise = rng.normal(size=(2, n, 1))
    return x.round(1), (0.8 * x + 0.6 * noise).round(1)


def _same_zeros(rng: Rng, n: int) -> Samples:
    x, noise = rng.normal(size=(2, n, 1))
    present = rng.uniform(size=(n, 1)) < 0.5
    return x * present, (x + noise) * present
