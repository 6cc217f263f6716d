"""The harder distributions of benchmark-mi's second version: mixtures, some of them seen through maps."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor

from infomax._checks import check_integer, check_number
from infomax.mi.tasks.mixture import gaussian_mixture
from infomax.mi.tasks.task import Task, transformed
from infomax.mi.tasks.transforms import spiral

__all__ = ["concentric_gaussians", "cross", "galaxy", "inliers", "letters", "mixtures", "waves"]

# Information with its standard error: means of exact log density ratios over 10 million pairs, or, for concentric
# Gaussians, integrals over the radius, because y identifies the ring.
_CONCENTRIC = {3: (0.45543, 0.00001), 5: (0.62739, 0.00001), 25: (1.19077, 0.00001)}
_INLIERS = {0.2: (0.63596, 0.00037), 0.5: (0.26907, 0.00027)}


def cross() -> Task:
    """Return the task of two superposed Gaussians with correlations 0.9 and -0.9, an X without overall correlation.

    Example:
        >>> cross()
        Task('1v1-X-0.9', 1 x 1, 0.4087 nats)
    """
    covariances = torch.eye(2, dtype=torch.float64).repeat(2, 1, 1)
    covariances[0, 0, 1] = covariances[0, 1, 0] = 0.9
    covariances[1, 0, 1] = covariances[1, 1, 0] = -0.9
    return gaussian_mixture(torch.zeros(2, 2), covariances, 1, name="1v1-X-0.9", known=(0.40867, 0.00024))


def letters() -> Task:
    """Return the task of six narrow Gaussians that draw the letters A and I.

    Example:
        >>> letters()
        Task('1v1-AI', 1 x 1, 0.7760 nats)
    """
    slope = 0.95 * math.sqrt(0.04 * 0.2)
    strokes = [
        ((1.0, 0.0), (0.01, 0.2, 0.0)),
        ((1.0, 1.0), (0.05, 0.001, 0.0)),
        ((1.0, -1.0), (0.05, 0.001, 0.0)),
        ((-0.8, -0.2), (0.03, 0.001, 0.0)),
        ((-1.2, 0.0), (0.04, 0.2, slope)),
        ((-0.4, 0.0), (0.04, 0.2, -slope)),
    ]
    means = torch.tensor([mean for mean, _ in strokes], dtype=torch.float64)
    covariances = torch.tensor([[[a, c], [c, b]] for _, (a, b, c) in strokes], dtype=torch.float64)
    return gaussian_mixture(means, covariances, 1, name="1v1-AI", known=(0.77601, 0.00027))


def waves() -> Task:
    """Return the task of twelve clouds of x in a line, bent to waves; y shows the cloud's number modulo 4.

    Example:
        >>> waves()
        Task('2v1-waves-12-5.0-3.0', 2 x 1, 1.3070 nats)
    """
    means = torch.tensor([[1.5 * i, 0.0, 1.5 * (i % 4)] for i in range(12)], dtype=torch.float64)
    covariance = torch.diag(torch.tensor([0.1, 1.0, 0.1], dtype=torch.float64))
    clouds = gaussian_mixture(means, covariance.repeat(12, 1, 1), 2, name="clouds", known=(1.30701, 0.00012))

    def bend(values: Tensor) -> Tensor:
        first = values[:, :1] + 5.0 * (3.0 * values[:, 1:]).sin()
        return torch.cat([0.1 * first - 0.8, 0.5 * values[:, 1:]], 1)

    return replace(transformed(clouds, "waves", bend), name="2v1-waves-12-5.0-3.0")


def galaxy() -> Task:
    """Return the task of two round clouds, 3 apart along every axis, with the plane of x wound up to a spiral.

    Example:
        >>> galaxy()
        Task('2v1-galaxy-0.5-3.0', 2 x 1, 0.4943 nats)
    """
    means = torch.tensor([[-1.5] * 3, [1.5] * 3], dtype=torch.float64)
    clouds = gaussian_mixture(means, torch.eye(3).repeat(2, 1, 1), 2, name="clouds", known=(0.49434, 0.00016))
    return replace(transformed(clouds, "galaxy", spiral(0, 1, 0.5)), name="2v1-galaxy-0.5-3.0")


def concentric_gaussians(dim: int) -> Task:
    """Return the task of round Gaussians of standard deviations 1 to 5 about one centre; y identifies the Gaussian.

    Args:
        dim: number of coordinates of x: 3, 5 or 25.

    Raises:
        ValueError: another number of coordinates, for which the information is not known.

    Example:
        >>> concentric_gaussians(5)
        Task('5v1-concentric_gaussians-5', 5 x 1, 0.6274 nats)
    """
    dim = check_integer("dim", dim)
    _check_known("dim", dim, _CONCENTRIC)
    means = torch.tensor([[0.0] * dim + [float(i)] for i in range(1, 6)], dtype=torch.float64)
    covariances = torch.stack([torch.diag(torch.tensor([float(i * i)] * dim + [1e-4])) for i in range(1, 6)])
    return gaussian_mixture(means, covariances, dim, name=f"{dim}v1-concentric_gaussians-5", known=_CONCENTRIC[dim])


def inliers(dim: int, share: float) -> Task:
    """Return the task of two correlated pairs among ``dim`` coordinates per side, with a share of independent rows.

    Args:
        dim: number of coordinates of x and of y, at least 2; those beyond the second are independent of all others.
        share: share of the rows in which x and y are independent, 0.2 or 0.5.

    Raises:
        ValueError: fewer coordinates, or another share, for which the information is not known.

    Example:
        >>> inliers(5, 0.2)
        Task('mult-sparse-w-inliers-5-5-2-2.0-0.2', 5 x 5, 0.6360 nats)
    """
    _check_known("share", check_number("share", share), _INLIERS)
    if check_integer("dim", dim) < 2:
        raise ValueError(f"dim must be at least 2, the coordinates that correlate, got {dim}")
    covariances = torch.eye(2 * dim, dtype=torch.float64).repeat(2, 1, 1)
    for i in range(2):
        covariances[0, i, dim + i] = covariances[0, dim + i, i] = 0.8
    weights = torch.tensor([1 - share, share], dtype=torch.float64)
    name = f"mult-sparse-w-inliers-{dim}-{dim}-2-2.0-{share}"
    return gaussian_mixture(
        torch.zeros(2, 2 * dim), covariances, dim, weights=weights, name=name, known=_INLIERS[share]
    )


def mixtures() -> dict[str, Task]:
    """Return the eleven mixtures of the benchmark's second version, under their names in its package.

    The package rescales the coordinates of its tasks, which changes neither the information nor the ranks.

    Source:
        Czyż, Grabowski, Vogt, Beerenwinkel & Marx 2025, "On the properties and estimation of pointwise mutual
        information profiles" (the draft was called "The mixtures and the neural critics"); the package benchmark-mi
        0.1.3 for the parameters.

    Example:
        >>> len(mixtures())
        11
    """
    tasks = [
        cross(),
        letters(),
        waves(),
        galaxy(),
        *(concentric_gaussians(dim) for dim in (3, 5, 25)),
        *(inliers(dim, share) for dim in (5, 25) for share in (0.2, 0.5)),
    ]
    return {task.name: task for task in tasks}


def _check_known(name: str, value: float, known: Collection[float]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value}")
