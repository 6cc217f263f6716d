"""A variable and a function of it: with noise, integrated numerically; without, more than any sample can certify."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from infomax._checks import check_number, check_positive
from infomax.mi.tasks.gaussian import gaussian
from infomax.mi.tasks.task import Map, Task, check_maps

__all__ = ["equal_levels", "function_of", "noisy_sine", "noisy_square", "strong"]

_NODES = 4000  # of the integral over x
_COARSE = 1e-4  # share of x around which nodes may be too coarse for the noise
_TAILS = 8.0  # standard deviations of x that the integral covers
_WIDTHS = 8.0  # standard deviations of the noise that the integral covers


def noisy_square(noise: float = 0.3) -> Task:
    """Return the task with x standard normal and y = x^2 + noise: a parabola, without correlation.

    Args:
        noise: standard deviation of the normal noise.

    Raises:
        ValueError: the noise is not positive, or too small for the nodes of the integral.

    Example:
        >>> noisy_square()
        Task('square-0.3', 1 x 1, 1.1410 nats)
    """
    nodes = torch.linspace(-_TAILS, _TAILS, _NODES, dtype=torch.float64)
    weights = (-0.5 * nodes.square()).softmax(0)

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        return torch.randn(rows, 1, generator=generator, dtype=torch.float64)

    return _noisy(f"square-{noise}", torch.square, nodes, weights, draw, noise)


def noisy_sine(noise: float = 0.3, waves: float = 2.0) -> Task:
    r"""Return the task with x uniform in (0, 1) and :math:`y = \sin(2 \pi \cdot \text{waves} \cdot x)` + noise.

    Args:
        noise: standard deviation of the normal noise.
        waves: number of waves over (0, 1).

    Raises:
        ValueError: the noise is not positive, or too small for the nodes of the integral.

    Example:
        >>> noisy_sine()
        Task('sine-2.0-0.3', 1 x 1, 0.8616 nats)
    """
    waves = check_number("waves", waves)
    nodes = (torch.arange(_NODES, dtype=torch.float64) + 0.5) / _NODES
    weights = torch.full_like(nodes, 1 / _NODES)

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        return torch.rand(rows, 1, generator=generator, dtype=torch.float64)

    return _noisy(f"sine-{waves}-{noise}", lambda x: (2 * math.pi * waves * x).sin(), nodes, weights, draw, noise)


def _noisy(
    name: str,
    function: Map,
    nodes: Tensor,
    weights: Tensor,
    draw_x: Callable[[int, torch.Generator], Tensor],
    noise: float,
) -> Task:
    r"""Return a task with normal noise: :math:`I = H(y) - H(\text{noise})`, with the density of y a sum over nodes."""
    noise = float(check_number("noise", noise, above=0))
    centres = function(nodes)
    gaps = centres.diff().abs()
    if float(weights[1:][gaps > noise].sum()) > _COARSE:  # the sum over nodes would miss the shape of the noise
        likely = gaps[weights[1:] > _COARSE / len(weights)]
        raise ValueError(f"noise must be at least {float(likely.max()):.2g}, the distance of nodes, got {noise}")
    margin = _WIDTHS * noise
    steps = math.ceil((float(centres.max() - centres.min()) + 2 * margin) / (0.05 * noise))
    grid = torch.linspace(float(centres.min()) - margin, float(centres.max()) + margin, steps + 1, dtype=torch.float64)
    density = torch.cat([
        torch.exp(-0.5 * ((part[:, None] - centres) / noise).square()) @ weights for part in torch.split(grid, 500)
    ]) / (noise * math.sqrt(2 * math.pi))  # fmt: skip
    entropy = float(-torch.special.xlogy(density, density).sum() * (grid[1] - grid[0]))
    nats = entropy - 0.5 * math.log(2 * math.pi * math.e * noise**2)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = draw_x(rows, generator)
        return x, function(x) + noise * torch.randn(rows, 1, generator=generator, dtype=torch.float64)

    return Task(name, (1, 1), nats, draw)


def equal_levels(levels: int) -> Task:
    """Return the task with x = y, uniform over ``levels`` integers.

    Example:
        >>> equal_levels(200)
        Task('levels-200', 1 x 1, 5.2983 nats)
    """
    check_positive("levels", levels)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randint(levels, (rows, 1), generator=generator)
        return x, x.clone()

    return Task(f"levels-{levels}", (1, 1), math.log(levels), draw)


def function_of(name: str, of_x: Map | None = None, of_y: Map | None = None, *, dim: int = 1) -> Task:
    """Return the task of two functions of the same normal variable, which have infinite information.

    Args:
        name: name of the task.
        of_x: map from rows (n, ``dim``) of the variable to x; when None, x is the variable.
        of_y: map from rows of the variable to y, likewise.
        dim: number of coordinates of the variable.

    Raises:
        TypeError: a map is not a function, or ``dim`` is not an integer.
        ValueError: ``dim`` is below 1.

    Example:
        >>> function_of("cube", of_y=lambda x: x**3)
        Task('cube', 1 x 1, inf nats)
    """
    check_positive("dim", dim)
    check_maps(of_x=of_x, of_y=of_y)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shared = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
        x, y = shared if of_x is None else of_x(shared), shared if of_y is None else of_y(shared)
        return x.clone(), y.clone()

    x, y = draw(2, torch.Generator().manual_seed(0))
    return Task(name, (x.shape[1], y.shape[1]), math.inf, draw)


def strong() -> dict[str, Task]:
    """Return tasks of 5 nats or more, where a failed estimate is most easily mistaken for weak dependence.

    Example:
        >>> strong()["multinormal-20-20-10"].nats
        10.0...
    """
    tasks = [
        function_of("same"),
        function_of("twice", of_y=lambda x: 2 * x),
        function_of("cube", of_y=lambda x: x**3),
        function_of("exp", of_x=torch.exp),
        function_of("first-of-three", of_y=lambda x: x[:, :1], dim=3),
        function_of("same-three", dim=3),
        _correlated("multinormal-1-1-8", 1, 8.0),
        _correlated("multinormal-20-20-10", 20, 10.0),
        _correlated("multinormal-64-64-22", 64, -32 * math.log(0.5)),
        equal_levels(200),
    ]
    return {task.name: task for task in tasks}


def _correlated(name: str, dim: int, nats: float) -> Task:
    covariance = torch.eye(2 * dim, dtype=torch.float64)
    for i in range(dim):
        covariance[i, dim + i] = covariance[dim + i, i] = math.sqrt(-math.expm1(-2 * nats / dim))
    return gaussian(covariance, dim, name)
