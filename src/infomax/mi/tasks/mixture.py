"""Mixtures of Gaussians: their information has no closed form, but it is the mean of exact log density ratios."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax._checks import check_floating, check_holds_values, check_integer, shape_of
from infomax.mi.tasks.gaussian import check_split, factored
from infomax.mi.tasks.task import Task

__all__ = ["four_clouds", "gaussian_mixture"]


def gaussian_mixture(
    means: Tensor,
    covariances: Tensor,
    dim_x: int,
    *,
    weights: Tensor | None = None,
    name: str,
    draws: int = 400_000,
    known: tuple[float, float] | None = None,
) -> Task:
    """Return the task of a mixture of Gaussians; its information is a mean of exact log density ratios.

    Args:
        means: (components, dx + dy), means of the components.
        covariances: (components, dx + dy, dx + dy), covariances of the components.
        dim_x: number of coordinates of x.
        weights: (components,), with sum 1; equal when None.
        name: name of the task.
        draws: number of pairs over which the information is averaged.
        known: information and its standard error, if they were computed before; then nothing is averaged.

    Raises:
        TypeError: a tensor is not floating, or a number of coordinates or draws is not an integer.
        ValueError: shapes do not fit, means or weights are not finite, weights are negative or their sum is not 1, a
            covariance is not symmetric and positive definite, or ``dim_x`` leaves no coordinate for a side.

    Example:
        >>> import torch
        >>> from infomax.mi.tasks import gaussian_mixture
        >>> means = torch.tensor([[-9.0, -9.0], [9.0, 9.0]])  # two clouds far apart: x tells which, log 2 nats
        >>> task = gaussian_mixture(means, torch.eye(2).expand(2, 2, 2), 1, name="two clouds", draws=1000)
        >>> abs(task.nats - 0.693) < 0.01, task.error < 0.01
        (True, True)
    """
    means = _finite("means", means, 2)
    components, dim = means.shape
    covariances, factors = factored("covariances", covariances, components)
    if covariances.shape[1] != dim:
        raise ValueError(
            f"covariances must have shape ({components}, {dim}, {dim}) to fit means {shape_of(means)}, got "
            f"{shape_of(covariances)}"
        )
    dim_x = check_split(dim_x, dim)
    shares = torch.full((components,), 1 / components, dtype=torch.float64)
    if weights is not None:
        shares = _finite("weights", weights, 1)
        if shares.shape != (components,) or bool((shares < 0).any()) or abs(float(shares.sum()) - 1) > 1e-5:
            raise ValueError(f"weights must be {components} shares that sum to 1, got {shares.tolist()}")

    def log_density(rows: Tensor, part: slice) -> Tensor:
        inner = torch.linalg.cholesky(covariances[:, part, part])
        away = (rows[:, None, part] - means[:, part]).unsqueeze(-1)
        square = torch.linalg.solve_triangular(inner, away, upper=False).squeeze(-1).square().sum(-1)
        volume = torch.diagonal(inner, dim1=1, dim2=2).log().sum(1)
        size = means[:, part].shape[1]
        density: Tensor = torch.logsumexp(shares.log() - volume - 0.5 * (square + size * math.log(2 * math.pi)), 1)
        return density

    def together(rows: int, generator: torch.Generator) -> Tensor:
        which = torch.multinomial(shares, rows, replacement=True, generator=generator)
        noise = torch.randn(rows, dim, 1, generator=generator, dtype=torch.float64)
        rows_drawn: Tensor = means[which] + (factors[which] @ noise).squeeze(-1)
        return rows_drawn

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = together(rows, generator)
        return drawn[:, :dim_x], drawn[:, dim_x:]

    if known is not None:
        return Task(name, (dim_x, dim - dim_x), known[0], draw, known[1])
    draws = check_integer("draws", draws, at_least=2)
    rows = together(draws, torch.Generator().manual_seed(0))
    ratio = log_density(rows, slice(None)) - log_density(rows, slice(dim_x)) - log_density(rows, slice(dim_x, None))
    error = float(ratio.std()) / math.sqrt(draws)
    return Task(name, (dim_x, dim - dim_x), float(ratio.mean()), draw, error)


def _finite(name: str, values: Tensor, axes: int) -> Tensor:
    exact = check_floating(name, values).detach().double()
    check_holds_values(**{name: values})
    if exact.ndim != axes or 0 in exact.shape:
        expected = "(components, dx + dy)" if axes == 2 else "(components,)"
        raise ValueError(f"{name} must have shape {expected}, got {shape_of(exact)}")
    if not bool(exact.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return exact


def four_clouds() -> Task:
    """Return the task of four round clouds: each side alone shows two, and the signs of x and y mostly agree.

    Example:
        >>> four_clouds()
        Task('mixture-four-clouds', 1 x 1, 0.31... nats)
    """
    corners = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [2.0, -2.0], [-2.0, 2.0]])
    shares = torch.tensor([0.45, 0.45, 0.05, 0.05])
    return gaussian_mixture(
        corners, torch.eye(2).expand(4, 2, 2), 1, weights=shares, name="mixture-four-clouds", draws=200_000
    )
