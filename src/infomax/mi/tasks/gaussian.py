"""Gaussian tasks: with any covariance, with equal correlations, with a few correlated pairs, and independent."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_holds_values, check_integer, check_number, check_positive, shape_of
from infomax.mi.tasks.task import Task

__all__ = [
    "check_split",
    "dense_gaussian",
    "factored",
    "gaussian",
    "gaussian_nats",
    "independent",
    "sparse_gaussian",
]


def gaussian_nats(covariance: Tensor, dim_x: int) -> float:
    r"""Return the mutual information, in nats, of the first ``dim_x`` coordinates of a Gaussian with the others.

    .. math:: \tfrac12 \log \frac{\det \Sigma_{xx} \det \Sigma_{yy}}{\det \Sigma}

    Args:
        covariance: (dx + dy, dx + dy), positive definite.
        dim_x: number of coordinates of x.

    Raises:
        TypeError: the covariance is not a floating tensor, or ``dim_x`` is not an integer.
        ValueError: as :func:`gaussian`.

    Example:
        >>> gaussian_nats(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), 1)
        0.2231...
    """
    exact, factor = factored("covariance", covariance)
    check_split(dim_x, len(exact))
    return _nats(exact, factor, dim_x)


def _nats(covariance: Tensor, factor: Tensor, dim_x: int) -> float:
    sides = [torch.linalg.cholesky(side) for side in (covariance[:dim_x, :dim_x], covariance[dim_x:, dim_x:])]
    of_sides, of_both = (sum(float(part.diagonal().log().sum()) for part in parts) for parts in (sides, [factor]))
    return max(0.0, of_sides - of_both)


def gaussian(covariance: Tensor, dim_x: int, name: str = "multinormal") -> Task:
    """Return the task of a Gaussian with any covariance, split after the first ``dim_x`` coordinates.

    Args:
        covariance: (dx + dy, dx + dy), positive definite.
        dim_x: number of coordinates of x.
        name: name of the task.

    Raises:
        TypeError: as :func:`gaussian_nats`.
        ValueError: the covariance is not symmetric and positive definite, or leaves no coordinate for a side.

    Example:
        >>> import torch
        >>> from infomax.mi.tasks import gaussian
        >>> gaussian(torch.tensor([[1.0, 0.8], [0.8, 1.0]]), dim_x=1)
        Task('multinormal', 1 x 1, 0.5108 nats)
    """
    exact, factor = factored("covariance", covariance)
    dim, dim_x = len(exact), check_split(dim_x, len(exact))

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.randn(rows, dim, generator=generator, dtype=torch.float64) @ factor.T
        return drawn[:, :dim_x], drawn[:, dim_x:]

    return Task(name, (dim_x, dim - dim_x), _nats(exact, factor, dim_x), draw)


def factored(name: str, covariances: Tensor, components: int | None = None) -> tuple[Tensor, Tensor]:
    """Return covariances in float64, and their Cholesky factors, or raise.

    Args:
        name: the argument, for the message.
        covariances: (d, d), or (components, d, d).
        components: number of covariances; None for a single one.
    """
    exact = check_floating(name, covariances).detach().double()
    check_holds_values(**{name: covariances})
    shape = "(dx + dy, dx + dy)" if components is None else f"({components}, dx + dy, dx + dy)"
    first = () if components is None else (components,)
    if exact.ndim != len(first) + 2 or exact.shape[:-2] != first or exact.shape[-1] != exact.shape[-2]:
        raise ValueError(f"{name} must have shape {shape}, got {shape_of(exact)}")
    if not bool(exact.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    factor, failed = torch.linalg.cholesky_ex(exact)
    if bool(failed.any()) or not torch.allclose(exact, exact.mT):
        raise ValueError(f"{name} must be symmetric and positive definite")
    return exact, factor


def check_split(dim_x: int, dim: int) -> int:
    """Return ``dim_x`` if it leaves a coordinate of ``dim`` for each side, else raise."""
    if not 1 <= check_integer("dim_x", dim_x) < dim:
        raise ValueError(f"dim_x must be between 1 and {dim - 1} to leave coordinates for y, got {dim_x}")
    return int(dim_x)


def dense_gaussian(dim_x: int, dim_y: int, correlation: float = 0.5) -> Task:
    """Return the task of a Gaussian with the same correlation between any two coordinates.

    Example:
        >>> dense_gaussian(2, 2)
        Task('multinormal-dense-2-2-0.5', 2 x 2, 0.2939 nats)
    """
    dim = check_positive("dim_x", dim_x) + check_positive("dim_y", dim_y)
    correlation = check_number("correlation", correlation)
    covariance = torch.full((dim, dim), correlation, dtype=torch.float64).fill_diagonal_(1.0)
    return gaussian(covariance, dim_x, f"multinormal-dense-{dim_x}-{dim_y}-{correlation}")


def sparse_gaussian(dim_x: int, dim_y: int, pairs: int = 2, strength: float = 2.0) -> Task:
    """Return the task of a Gaussian with independent coordinates, except for a few correlated pairs across the sides.

    Args:
        dim_x: number of coordinates of x.
        dim_y: number of coordinates of y.
        pairs: number of pairs that correlate.
        strength: standard deviation s of a signal that both coordinates of a pair share, beside noise of variance 1;
            the correlation is s^2 / (1 + s^2).

    Raises:
        TypeError: a number of coordinates or ``pairs`` is not an integer, or ``strength`` is not a number.
        ValueError: ``pairs`` is not between 1 and the number of coordinates of the smaller side.

    Example:
        >>> sparse_gaussian(3, 3)
        Task('multinormal-sparse-3-3-2-2.0', 3 x 3, 1.0217 nats)
    """
    dim_x, dim_y = check_positive("dim_x", dim_x), check_positive("dim_y", dim_y)
    strength = check_number("strength", strength)
    if not 1 <= check_positive("pairs", pairs) <= min(dim_x, dim_y):
        raise ValueError(f"pairs must be at most {min(dim_x, dim_y)}, the coordinates of the smaller side, got {pairs}")
    covariance = torch.eye(dim_x + dim_y, dtype=torch.float64)
    for i in range(pairs):
        covariance[i, dim_x + i] = covariance[dim_x + i, i] = strength**2 / (1 + strength**2)
    return gaussian(covariance, dim_x, f"multinormal-sparse-{dim_x}-{dim_y}-{pairs}-{strength}")


def independent(dim_x: int, dim_y: int) -> Task:
    """Return the task of two independent normal variables, with 0 nats.

    Example:
        >>> from infomax.mi.tasks import independent
        >>> independent(2, 3)
        Task('independent-2-3', 2 x 3, 0.0000 nats)
    """
    dim_x, dim_y = check_positive("dim_x", dim_x), check_positive("dim_y", dim_y)
    return gaussian(torch.eye(dim_x + dim_y, dtype=torch.float64), dim_x, f"independent-{dim_x}-{dim_y}")
