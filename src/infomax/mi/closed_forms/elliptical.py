"""The log density ratio of a Gaussian or Student-t copula, which is exact where the data have that copula."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.closed_forms.rows import StartRows

__all__ = ["DOFS", "elliptical_offset", "elliptical_rows", "elliptical_score"]

DOFS = (1.0, 2.0, 3.0, 5.0, 10.0, math.inf)
"""Degrees of freedom among which the validation rows choose."""
_FARTHEST = 40.0


def elliptical_rows(white: Tensor, correlation: Tensor, *, weigh: bool) -> StartRows:
    r"""Compute the terms of :func:`elliptical_score` that depend on one side only.

    Args:
        white: (n, d), canonical coordinates.
        correlation: (r,), correlations of the leading coordinates.
        weigh: whether the leading coordinates of this side carry the weights of the inner product; True for exactly one
            of the two sides.
    """
    rest = 1 - correlation.square()
    leading = white[:, : correlation.shape[0]]
    square = white.square().sum(1)
    joint = square + leading.square() @ (correlation.square() / rest)
    leading = leading * (2 * correlation / rest) if weigh else leading
    return StartRows(square, joint, leading, leading.new_zeros(len(white), 0, dtype=torch.int64))


def elliptical_score(
    square_x: Tensor, square_y: Tensor, square_xy: Tensor, dof: Tensor, offset: Tensor, dims: tuple[int, int]
) -> Tensor:
    r"""Compute the log density ratio of an elliptical copula; the arguments broadcast.

    .. math:: \log \frac{c_\nu(x, y)}{c_\nu(x) \, c_\nu(y)}, \qquad
              -\tfrac{\nu + d}{2} \log\big(1 + Q / \nu\big) \ \text{for each of the three densities}

    The second expression is the log of each density, up to a constant, with Q the squared Mahalanobis radius and d the
    number of coordinates. With :math:`\nu = \infty` it is that of the Gaussian copula.

    Args:
        square_x: Q of the x of each pair.
        square_y: Q of the y of each pair.
        square_xy: Q of x and y together.
        dof: degrees of freedom, possibly infinite.
        offset: log of the normalising constant, from :func:`elliptical_offset`.
        dims: numbers of coordinates of x and of y.

    Returns:
        Scores in nats, clamped to [-40, 40]: no sample can confirm a density ratio beyond e^40, and larger scores would
        dominate the inputs of a network that takes the score as an input.
    """
    dx, dy = dims
    kernels = _kernel(square_xy, dof, dx + dy) - _kernel(square_x, dof, dx) - _kernel(square_y, dof, dy)
    return (kernels + offset).clamp(-_FARTHEST, _FARTHEST)


def elliptical_offset(correlation: Tensor, dof: float, dims: tuple[int, int]) -> float:
    """Return the log of the normalising constant of the density ratio."""
    offset = -0.5 * float(torch.log1p(-correlation.square()).sum())
    if math.isinf(dof):
        return offset
    dx, dy = dims
    gammas = [math.lgamma((dof + d) / 2) for d in (dx + dy, 0, dx, dy)]
    return offset + gammas[0] + gammas[1] - gammas[2] - gammas[3]


def _kernel(square: Tensor, dof: Tensor, dim: int) -> Tensor:
    finite = torch.where(dof.isinf(), 1.0, dof)
    return torch.where(dof.isinf(), -0.5 * square, -0.5 * (finite + dim) * torch.log1p(square.clamp_min(0.0) / finite))
