"""Quantiles of Student's t with a whole number of degrees of freedom, in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["student_cdf", "student_quantile"]

_HALVINGS = 60  # bisections of the angle, down to the rounding of float64


def student_cdf(angle: Tensor, dof: int) -> Tensor:
    r"""Return the distribution function of Student's t at :math:`t = \sqrt\nu \tan\theta`, by its finite sum.

    Args:
        angle: theta, in (-pi / 2, pi / 2).
        dof: degrees of freedom nu, a whole number of at least 1.

    Returns:
        Probabilities, with the shape and dtype of ``angle``.

    Source:
        Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.

    Example:
        >>> student_cdf(torch.tensor([0.0, torch.pi / 4]), dof=1)
        tensor([0.5000, 0.7500])
    """
    cosine, sine = angle.cos(), angle.sin()
    odd = dof % 2 == 1
    term = cosine if odd else torch.ones_like(angle)
    total = torch.zeros_like(angle) if dof == 1 else term
    for k in range(3 if odd else 2, dof - 1, 2):
        term = term * cosine.square() * ((k - 1) / k)
        total = total + term
    area = (angle + sine * total) * (2 / math.pi) if odd else sine * total
    return 0.5 + 0.5 * area


def student_quantile(probability: Tensor, dof: float) -> Tensor:
    """Return quantiles of Student's t, or of the standard normal distribution where ``dof`` is infinite.

    Args:
        probability: in (0, 1).
        dof: degrees of freedom, a whole number or infinity.

    Returns:
        Quantiles, with the shape and dtype of ``probability``.

    Example:
        >>> p = torch.tensor([0.25, 0.5, 0.75])
        >>> student_quantile(p, 1)
        tensor([-1.,  0.,  1.])
        >>> student_quantile(p, float("inf"))
        tensor([-0.6745,  0.0000,  0.6745])
    """
    if math.isinf(dof):
        normal: Tensor = torch.special.ndtri(probability)
        return normal
    exact = probability.double()
    if dof == 1:
        return torch.tan(math.pi * (exact - 0.5)).to(probability.dtype)
    if dof == 2:
        return ((2 * exact - 1) / (2 * exact * (1 - exact)).sqrt()).to(probability.dtype)
    low = torch.full_like(exact, -math.pi / 2)
    high = torch.full_like(exact, math.pi / 2)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = student_cdf(middle, int(dof)) < exact
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (math.sqrt(dof) * torch.tan((low + high) / 2)).to(probability.dtype)
