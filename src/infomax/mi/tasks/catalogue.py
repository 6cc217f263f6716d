"""The tasks of the public "Beyond Normal" benchmark, under their names there, and a few more."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from infomax.mi.tasks.additive import additive_noise
from infomax.mi.tasks.gaussian import dense_gaussian, gaussian, independent, sparse_gaussian
from infomax.mi.tasks.mixture import four_clouds
from infomax.mi.tasks.student import student_t
from infomax.mi.tasks.task import Map, Task, transformed
from infomax.mi.tasks.transforms import bimodal, half_cube, normal_cdf, spiral, swiss_roll, wiggle_x, wiggle_y

__all__ = ["beyond_normal", "more_tasks"]


def _both(task: Task, name: str, of_x: Map, of_y: Map | None = None) -> Task:
    return transformed(task, name, of_x, of_x if of_y is None else of_y)


def _spiralled(task: Task) -> Task:
    return _both(task, "spiral", spiral(0, 1, 1 / task.dims[0]), spiral(1, 2, 1 / task.dims[1]))


@cache
def _one_dimensional() -> tuple[Task, ...]:
    correlation = torch.tensor([[1.0, 0.75], [0.75, 1.0]], dtype=torch.float64)
    normal = gaussian(correlation, 1, "1v1-normal-0.75")
    uniform = _both(normal, "normal_cdf", normal_cdf)
    two_modes = _both(uniform, "bimodal", bimodal(0.3, 0.0, 5.0), bimodal(0.5, -1.0, 3.0))
    heavy = student_t(1, 1, 1)
    return (
        normal,
        uniform,
        additive_noise(0.1),
        additive_noise(0.75),
        replace(two_modes, name="1v1-bimodal-0.75"),
        _both(normal, "wiggly", wiggle_x, wiggle_y),
        _both(normal, "half_cube", half_cube),
        heavy,
        _both(heavy, "asinh", torch.asinh),
        transformed(uniform, "swissroll_x", swiss_roll),
    )


def beyond_normal() -> dict[str, Task]:
    """Return the 40 tasks of the benchmark, by name, with our samplers and closed forms.

    Source:
        Czyż, Grabowski, Vogt, Beerenwinkel & Marx 2023, "Beyond normal: on the evaluation of mutual information
        estimators"; its package, benchmark-mi 0.1.3, for the parameters.

    Example:
        >>> tasks = beyond_normal()
        >>> len(tasks), tasks["spiral-multinormal-sparse-3-3-2-2.0"].nats
        (40, 1.0216...)
    """
    sparse = [sparse_gaussian(d, d) for d in (3, 5, 25)]
    uniform = [_both(task, "normal_cdf", normal_cdf) for task in sparse]
    heavy = {(d, dof): student_t(d, d, dof) for d, dof in ((2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))}
    tasks = [
        *_one_dimensional(),
        *(dense_gaussian(d, d) for d in (2, 3, 5, 25, 50)),
        sparse_gaussian(2, 2),
        *sparse,
        *heavy.values(),
        *uniform,
        *(_both(task, "half_cube", half_cube) for task in sparse),
        *(_spiralled(task) for task in (*sparse, *uniform)),
        *(_both(heavy[key], "asinh", torch.asinh) for key in ((2, 1), (3, 2), (5, 2))),
    ]
    return {task.name: task for task in tasks}


def more_tasks() -> dict[str, Task]:
    """Return tasks that the benchmark lacks: independence, and a mixture of four clouds.

    Example:
        >>> from infomax.mi.tasks import more_tasks
        >>> list(more_tasks())
        ['independent-1-1', 'independent-5-5', 'independent-20-20', ...]
    """
    return {task.name: task for task in (independent(1, 1), independent(5, 5), independent(20, 20), four_clouds())}
