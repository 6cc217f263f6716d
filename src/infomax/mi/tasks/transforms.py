"""Invertible maps of one side, which make a density harder to estimate and leave the information unchanged."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.tasks.task import Map

__all__ = ["bimodal", "half_cube", "normal_cdf", "spiral", "swiss_roll", "wiggle_x", "wiggle_y"]

_HALVINGS = 60


def normal_cdf(values: Tensor) -> Tensor:
    """Apply the standard normal distribution function to each coordinate; a normal coordinate becomes uniform."""
    probability: Tensor = torch.special.ndtr(values)
    return probability


def half_cube(values: Tensor) -> Tensor:
    """Raise the magnitude of each coordinate to the power 3/2 and keep its sign, for longer tails."""
    return values * values.abs().sqrt()


def wiggle_x(values: Tensor) -> Tensor:
    """Add sine waves that are small enough for the map to stay increasing."""
    return values + 0.4 * values.sin() + 0.2 * (1.7 * values + 1).sin() + 0.03 * (3.3 * values - 2.5).sin()


def wiggle_y(values: Tensor) -> Tensor:
    """Add sine waves as :func:`wiggle_x` does, with other amplitudes and frequencies."""
    waves = -0.4 * (0.4 * values).sin() + 0.17 * (1.3 * values + 3.5).sin() + 0.02 * (4.3 * values - 2.5).sin()
    return values + waves


def spiral(first: int, second: int, speed: float) -> Map:
    """Return a map that rotates the plane of two coordinates by an angle of ``speed`` times the row's squared norm."""

    def turn(values: Tensor) -> Tensor:
        angle = speed * values.square().sum(1)
        turned = values.clone()
        turned[:, first] = angle.cos() * values[:, first] - angle.sin() * values[:, second]
        turned[:, second] = angle.sin() * values[:, first] + angle.cos() * values[:, second]
        return turned

    return turn


def swiss_roll(values: Tensor) -> Tensor:
    """Roll numbers in [0, 1], (n, 1), up in the plane, (n, 2)."""
    angle = 1.5 * math.pi * (1 + 2 * values)
    return torch.cat([angle * angle.cos(), angle * angle.sin()], 1) / 21.0


def bimodal(share: float, low: float, high: float) -> Map:
    """Return a map from numbers in (0, 1) to the quantiles of a mixture of two normal distributions of variance 1.

    Args:
        share: weight of the first distribution.
        low: mean of the first distribution.
        high: mean of the second distribution.
    """

    def quantile(values: Tensor) -> Tensor:
        below = torch.full_like(values, min(low, high) - 10.0)
        above = torch.full_like(values, max(low, high) + 10.0)
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            mass = share * torch.special.ndtr(middle - low) + (1 - share) * torch.special.ndtr(middle - high)
            short = mass < values
            below, above = torch.where(short, middle, below), torch.where(short, above, middle)
        return (below + above) / 2

    return quantile
