"""The tasks with known mutual information: every family, and samples of it."""

from __future__ import annotations

import math
from typing import Any

import torch

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import number, option, size, tensor
from infomax.mi import tasks

_COMPONENTS = [
    tasks.correlated_normal,
    tasks.log_gamma_exponential,
    tasks.smoothed_uniform,
    tasks.quantized,
    tasks.smoothed_discrete,
]


def run(source: Source) -> None:
    task = source.choice([_gaussian, _components, _sized, _noisy, _function, _mixture])(source)
    if source.rarely():
        given = option(source, [task], [None, 3, "task"])
        task = attempt(tasks.transformed, given, "cubed", _map(source), infinite=True)
    if not task.nats >= -1e-9:
        raise Finding(f"a task of {task.nats} nats")
    rows, seed = size(source, (5, 1)), option(source, [0, 7], [-1, 2**64, 1.5, None, "0", True])
    x, y = attempt(task.sample, rows, seed, infinite=True)  # the exponential of an exponential may be
    if x.shape[1:] != task.dims[:1] or y.shape[1:] != task.dims[1:] or len(x) != len(y):
        raise Finding(f"samples of shapes {tuple(x.shape)} and {tuple(y.shape)} where dims are {task.dims}")


def _gaussian(source: Source) -> tasks.Task:
    wide, narrow = size(source, (2, 3, 1)), size(source, (1, 2))
    kind = source.below(4)
    if kind == 0:
        return attempt(tasks.dense_gaussian, wide, narrow, number(source, (0.5, 0.0, -0.2)), names=("covariance",))
    if kind == 1:
        return attempt(tasks.sparse_gaussian, wide, narrow, size(source, (1, 2)), number(source), names=("covariance",))
    if kind == 2:
        return attempt(tasks.independent, wide, narrow)
    root = tensor(source, (3, 3), torch.float64)
    covariance: Any = root
    if isinstance(root, torch.Tensor) and root.ndim == 2 and root.dtype == torch.float64 and not source.rarely():
        covariance = root @ root.T + torch.eye(len(root), dtype=root.dtype)
    return attempt(tasks.gaussian, covariance, size(source, (1, 2)))


def _components(source: Source) -> tasks.Task:
    nats = [number(source, (1.0, 0.1, 3.0, 8.0)) for _ in range(source.choice([1, 2, 0]))]
    return attempt(source.choice(_COMPONENTS), *nats, names=("nats",))


def _sized(source: Source) -> tasks.Task:
    kind = source.below(5)
    if kind == 0:
        return attempt(tasks.student_t, size(source, (2, 1)), size(source, (1, 2)), size(source, (2, 3, 1)))
    if kind == 1:
        return attempt(tasks.equal_levels, size(source, (5, 2, 1)))
    if kind == 2:
        return attempt(tasks.concentric_gaussians, size(source, (3, 5, 2)))
    if kind == 3:
        return attempt(tasks.inliers, size(source, (5, 25, 3)), number(source, (0.5, 0.2)))
    return source.choice([tasks.cross, tasks.letters, tasks.waves, tasks.galaxy])()


def _noisy(source: Source) -> tasks.Task:
    kind = source.below(3)
    if kind == 0:
        return attempt(tasks.additive_noise, number(source))
    if kind == 1:
        return attempt(tasks.noisy_square, number(source, (0.3, 1.0)))
    return attempt(tasks.noisy_sine, number(source, (0.3, 1.0)), number(source, (2.0, 0.5)))


def _function(source: Source) -> tasks.Task:
    name = option(source, ["f"], [""])
    maps = _map(source), _map(source)
    return attempt(tasks.function_of, name, *maps, dim=size(source, (1, 2)), infinite=True, names=("of_x", "of_y"))


def _map(source: Source) -> Any:
    return option(source, [None, lambda x: x**3, torch.exp], [3, "exp", (), torch.zeros(2)])


def _mixture(source: Source) -> tasks.Task:
    count = source.choice([2, 1, 3, 0])
    eye = torch.eye(3, dtype=torch.float64).expand(count, 3, 3)
    given: dict[str, Any] = {
        "means": tensor(source, (count, 3), torch.float64, gradient=False),
        "covariances": tensor(source, (count, 3, 3)) if source.rarely() else eye,
        "dim_x": size(source, (1, 2)),
        "draws": option(source, [2000], [0, -1, 1.5, None, True, "9"]),
    }
    if source.below(2):
        weights = torch.full((count,), 1 / max(count, 1), dtype=torch.float64)
        given["weights"] = tensor(source, (count,)) if source.rarely() else weights
    task = attempt(tasks.gaussian_mixture, **given, name="m")
    return task if math.isnan(task.nats) or task.nats > 0 else tasks.independent(1, 2)  # an average may be below 0
