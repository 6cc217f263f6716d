"""Tasks with any given information: five families with one coordinate per side, and products of their members."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from infomax._checks import check_number
from infomax.mi.tasks.task import Task

__all__ = ["correlated_normal", "log_gamma_exponential", "quantized", "smoothed_discrete", "smoothed_uniform"]

_HALVINGS = 200
_LEAST = 1e-6  # nats of a pair of coordinates; the parameters of a family lose their digits below
Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def correlated_normal(*nats: float) -> Task:
    r"""Return the task with normal x and y of correlation :math:`\sqrt{1 - e^{-2 I}}`, a coordinate pair per ``nats``.

    Args:
        nats: information of each pair of coordinates; the pairs are independent, so the task has the sum.

    Raises:
        ValueError: no ``nats``, or one outside 1e-6 to 30.

    Example:
        >>> correlated_normal(1.0, 2.0)
        Task('normal-2-2-3', 2 x 2, 3.0000 nats)
    """

    def pair(information: float) -> Draw:
        correlation = math.sqrt(-math.expm1(-2 * information))

        def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            x, noise = torch.randn(2, rows, 1, generator=generator, dtype=torch.float64)
            return x, correlation * x + math.exp(-information) * noise

        return draw

    return _product("normal", nats, pair)


def log_gamma_exponential(*nats: float) -> Task:
    r"""Return the task with x the log of a gamma variable of shape a, and y the log of an exponential one.

    The rate of the exponential variable is :math:`e^x`.

    .. math:: I = \psi(1 + a) - \log a

    Args:
        nats: information of each pair of coordinates; it determines a, and more information means a smaller a.

    Raises:
        ValueError: no ``nats``, or one outside 1e-6 to 30.

    Source:
        Butakov et al., the package mutinfo, for the family. The formula is
        :math:`\mathrm E \log p(y \mid x) - \mathrm E \log p(y)`, where y given x is exponential and y is Lomax.

    Example:
        >>> log_gamma_exponential(1.0)
        Task('log-gamma-exponential-1-1-1', 1 x 1, 1.0000 nats)
    """

    def pair(information: float) -> Draw:
        shape = math.exp(_root(lambda log_shape: information - _gamma_exponential_nats(math.exp(log_shape)), -40, 20))

        def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            # A gamma variable of shape a is one of shape a + 1 times U^(1 / a) with U uniform. So its log can be drawn
            # where the variable itself underflows.
            seed = int(torch.randint(2**62, (), generator=generator))
            greater = torch.from_numpy(np.random.default_rng(seed).standard_gamma(shape + 1, (rows, 1)))
            uniform = torch.rand(2, rows, 1, generator=generator, dtype=torch.float64)
            x = greater.log() + (-uniform[0]).log1p() / shape
            return x, (-(-uniform[1]).log1p()).log() - x

        return draw

    return _product("log-gamma-exponential", nats, pair)


def smoothed_uniform(*nats: float) -> Task:
    r"""Return the task with x uniform in (0, 1) and y = x + noise, with noise uniform in (0, w).

    .. math:: I = \tfrac w2 - \log w \ \text{ if } w \le 1, \qquad \tfrac{1}{2 w} \ \text{ above}

    Args:
        nats: information of each pair of coordinates; it determines w, and more information means narrower noise.

    Raises:
        ValueError: no ``nats``, or one outside 1e-6 to 30.

    Source:
        Butakov et al., the package mutinfo, for the family.

    Example:
        >>> smoothed_uniform(1.0)
        Task('smoothed-uniform-1-1-1', 1 x 1, 1.0000 nats)
    """

    def pair(information: float) -> Draw:
        if information <= 0.5:
            width = 0.5 / information
        else:
            width = math.exp(_root(lambda log_width: information - 0.5 * math.exp(log_width) + log_width, -60, 0))

        def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            x, noise = torch.rand(2, rows, 1, generator=generator, dtype=torch.float64)
            return x, x + width * noise

        return draw

    return _product("smoothed-uniform", nats, pair)


def quantized(*nats: float) -> Task:
    r"""Return the task with x normal and y its quantile bin; all bins are equally likely, except a smaller last one.

    .. math:: I = H(y) = -\sum_c p_c \log p_c

    Args:
        nats: information of each pair of coordinates, which is the entropy of y. The number of bins is the smallest
            that can have this entropy.

    Raises:
        ValueError: no ``nats``, or one outside 1e-6 to 14.

    Source:
        Butakov et al., the package mutinfo, for the family.

    Example:
        >>> quantized(1.0)
        Task('quantized-1-1-1', 1 x 1, 1.0000 nats)
    """

    def pair(information: float) -> Draw:
        classes = max(2, math.ceil(math.exp(information) * (1 - 1e-12)))

        def short_by(last: float) -> float:
            rest = 1 - last
            return -rest * math.log(rest / (classes - 1)) - last * math.log(last) - information

        last = _root(short_by, 1e-15, 1 / classes)
        edges = torch.special.ndtri(torch.arange(1, classes, dtype=torch.float64) * ((1 - last) / (classes - 1)))

        def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            x = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
            return x, torch.searchsorted(edges, x)

        return draw

    return _product("quantized", nats, pair, most=14)  # about a million bins


def smoothed_discrete(*nats: float) -> Task:
    r"""Return the task with x uniform over the integers 0 to m - 1 and y = x + noise, with noise uniform in (0, w).

    At most two levels of x overlap in y.

    .. math:: I = \log m - 2 \log 2 \, \frac{(m - 1)(w - 1)}{m w}

    Args:
        nats: information of each pair of coordinates; m is the smallest number of levels that can have it.

    Raises:
        ValueError: no ``nats``, or one outside 1e-6 to 30.

    Source:
        Butakov et al., the package mutinfo, for the family. Their noise has the width of a number of levels, or varies
        from row to row. Here one width gives exactly the given information.

    Example:
        >>> smoothed_discrete(1.0)
        Task('smoothed-discrete-1-1-1', 1 x 1, 1.0000 nats)
    """

    def pair(information: float) -> Draw:
        levels = max(2, math.ceil(math.exp(information) * (1 - 1e-12)))
        missing = (math.log(levels) - information) * levels / (2 * math.log(2) * (levels - 1))
        width = 1 / (1 - missing)

        def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            x = torch.randint(levels, (rows, 1), generator=generator)
            return x, x + width * torch.rand(rows, 1, generator=generator, dtype=torch.float64)

        return draw

    return _product("smoothed-discrete", nats, pair)


def _gamma_exponential_nats(shape: float) -> float:
    return float(torch.digamma(torch.tensor(1 + shape, dtype=torch.float64))) - math.log(shape)


def _product(family: str, nats: tuple[float, ...], pair: Callable[[float], Draw], most: float = 30.0) -> Task:
    """Return the task of independent pairs of coordinates, one for each entry of ``nats``."""
    if not nats:
        raise ValueError(f"{family.replace('-', '_')} needs the nats of at least one pair of coordinates")
    for information in nats:
        if not _LEAST <= check_number("nats", information) <= most:
            raise ValueError(
                f"nats must be from {_LEAST:g} to {most:g} for every pair of coordinates of {family}, got {information}"
            )
    draws = [pair(float(information)) for information in nats]
    dim = len(nats)

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pairs = [one(rows, generator) for one in draws]
        return torch.cat([x for x, _ in pairs], 1), torch.cat([y for _, y in pairs], 1)

    total = math.fsum(nats)
    return Task(f"{family}-{dim}-{dim}-{total:g}", (dim, dim), total, draw)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the zero of an increasing function, by bisection."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return 0.5 * (low + high)
