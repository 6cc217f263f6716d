"""The low-dimensional grid of the package mutinfo: five families, with one to three coordinates per side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from infomax.mi.tasks.components import (
    correlated_normal,
    log_gamma_exponential,
    quantized,
    smoothed_discrete,
    smoothed_uniform,
)
from infomax.mi.tasks.task import Map, Task, transformed

__all__ = ["mutinfo_grid"]

_AS_DRAWN = (log_gamma_exponential, smoothed_uniform)
_EQUAL_SHARES = (quantized, smoothed_discrete)


def mutinfo_grid(
    nats: Sequence[float] = (1.0, 3.0, 5.0, 8.0), dims: Sequence[int] = (1, 2, 3), *, seed: int = 0
) -> dict[str, Task]:
    """Return a task for each family, number of coordinates and amount of information, by name.

    As in the package, continuous families split the information over their coordinates at random, uniformly over the
    simplex. A random rotation is then applied to each side of the normal family. Discrete families split the
    information equally.

    Args:
        nats: amounts of information.
        dims: numbers of coordinates per side.
        seed: seed of the shares and rotations, which are then fixed.

    Source:
        Butakov et al., the package mutinfo, for the grid; samplers and closed forms are ours. See ``smoothed_discrete``
        for a difference.

    Example:
        >>> tasks = mutinfo_grid(nats=[1.0])
        >>> len(tasks), tasks["log-gamma-exponential-3-3-1"].nats
        (15, 1.0)
    """
    generator = torch.Generator().manual_seed(seed)
    tasks: list[Task] = []
    for dim in dims:
        for information in nats:
            normal = correlated_normal(*_shares(information, dim, generator))
            if dim == 1:
                tasks.append(normal)
            else:
                turned = transformed(normal, "turned", _rotation(dim, generator), _rotation(dim, generator))
                tasks.append(replace(turned, name=normal.name, nats=information))
            tasks += [replace(family(*_shares(information, dim, generator)), nats=information) for family in _AS_DRAWN]
            tasks += [family(*[information / dim] * dim) for family in _EQUAL_SHARES]
    return {task.name: task for task in tasks}


def _shares(information: float, dim: int, generator: torch.Generator) -> list[float]:
    weights = -(-torch.rand(dim, generator=generator, dtype=torch.float64)).log1p()
    return [information * share for share in (weights / weights.sum()).tolist()]


def _rotation(dim: int, generator: torch.Generator) -> Map:
    orthogonal, upper = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    matrix = orthogonal * upper.diagonal().sign()  # uniform over the orthogonal group
    return lambda values: values @ matrix.T
