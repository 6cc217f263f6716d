"""Suites of the MI benchmark: their tasks, numbers of pairs and seeds, and aims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mi_labels import labels
from benchmarks.mi_plot import draw
from benchmarks.mi_repeats import Repeats, repeats
from benchmarks.mi_sizes import ROWS, draw_sizes, sized_tasks
from infomax.mi.tasks import (
    Task,
    additive_noise,
    beyond_normal,
    concentric_gaussians,
    correlated_normal,
    dense_gaussian,
    independent,
    mixtures,
    more_tasks,
    mutinfo_grid,
    noisy_sine,
    noisy_square,
    sparse_gaussian,
    strong,
    student_t,
)

__all__ = ["SUITES", "Case", "Suite"]

Samples = tuple[np.ndarray, np.ndarray]
# Spirals, the Swiss roll, uniform noise and the four clouds. All other tasks are increasing maps of a Gaussian or
# Student-t copula.
_NOT_ELLIPTICAL = ("additive", "swissroll", "spiral", "clouds")


@dataclass(frozen=True)
class Case:
    """A task and a number of pairs.

    Attributes:
        name: name of the task.
        truth: mutual information in nats; infinite if one side is a function of the other, None if unknown.
        rows: number of pairs.
        sample: draws pairs, given their number and a seed.
        group: name of the group of cases whose errors are averaged.
        drawn_by: library that the sampler is from.
    """

    name: str
    truth: float | None
    rows: int
    sample: Callable[[int, int], Samples]
    group: str
    drawn_by: str = "infomax.mi.tasks"


@dataclass(frozen=True)
class Suite:
    """Cases, and the defaults for running them.

    Attributes:
        title: title of the table.
        aim: accuracy that the estimates should reach.
        cases: makes the cases, given a number of pairs or None for the suite's own.
        seeds: number of samples of each case.
        methods: names of the methods to run.
        first_seed: seed of the first sample.
        tolerance: largest error in nats of an estimate that is not flagged; not checked when None.
        picture: draws the rows of the table into a file.
    """

    title: str
    aim: str
    cases: Callable[[int | None], Sequence[Case]]
    seeds: int = 3
    methods: Sequence[str] = field(
        default=(
            "infomax", "KSG, k = 3", "KSG (scikit-learn)", "KSG (infomeasure)", "CCA (bmi)", "KSG (bmi)",
            "SMILE (torch-mist)", "MINDE (diffusion-mi)",
        )
    )  # fmt: skip
    first_seed: int = 0
    tolerance: float | None = None
    picture: Callable[[Sequence[Mapping[str, Any]], Path], None] = draw


def _case(task: Task, rows: int, group: str) -> Case:
    def sample(size: int, seed: int) -> Samples:
        x, y = task.sample(size, seed)
        return x.numpy(), y.numpy()

    return Case(task.name, task.nats, rows, sample, group)


def _beyond_normal(rows: int | None) -> list[Case]:
    tasks = {**beyond_normal(), **more_tasks()}
    return [_case(task, rows or 10_000, _copula(name)) for name, task in tasks.items()]


def _copula(name: str) -> str:
    return "not elliptical" if any(part in name for part in _NOT_ELLIPTICAL) else "elliptical copula"


def _bmi2(rows: int | None) -> list[Case]:
    return [_case(task, rows or 5_000, "mixtures") for task in mixtures().values()]


def _mutinfo(rows: int | None) -> list[Case]:
    return [_case(task, rows or 10_000, f"{task.nats:g} nats") for task in mutinfo_grid().values()]


def _gaussian(rows: int | None) -> list[Case]:
    many = correlated_normal(*[_nats(0.5)] * 16)
    one_pair = sparse_gaussian(100, 100, pairs=1, strength=3.0)
    return [
        _case(Task("16 + 16, r = 0.5", many.dims, many.nats, many.draw), rows or 5_000, "16 + 16"),
        _case(Task("100 + 100, one pair", one_pair.dims, one_pair.nats, one_pair.draw), rows or 2_000, "100 + 100"),
    ]


def _nats(correlation: float) -> float:
    return -0.5 * float(np.log1p(-(correlation**2)))


def _small(rows: int | None) -> list[Case]:
    dependent = [dense_gaussian(1, 1, 0.75), noisy_square(), noisy_sine()]
    return [
        _case(task, size, f"{kind}, n = {size}")
        for size in ([rows] if rows else [100, 200, 500, 1000])
        for kind, tasks in (("dependent", dependent), ("independent", [independent(1, 1)]))
        for task in tasks
    ]


def _coverage(rows: int | None) -> list[Case]:
    tasks = (
        dense_gaussian(1, 1, 0.75),
        additive_noise(0.75),
        student_t(2, 2, 2),
        concentric_gaussians(3),
        independent(1, 1),
    )
    return [_case(task, rows or 1_000, task.name) for task in tasks]


def _strong(rows: int | None) -> list[Case]:
    sizes: Mapping[str, Sequence[int]] = {
        "same": (1_000, 10_000), "multinormal-1-1-8": (10_000,), "multinormal-20-20-10": (2_000,),
    }  # fmt: skip
    return [
        _case(task, rows or size, name)
        for name, task in strong().items()
        for size in ((rows,) if rows else sizes.get(name, (1_000,)))
    ]


def _sizes(rows: int | None) -> list[Case]:
    return [
        _case(task, size, group)
        for size in ((rows,) if rows else ROWS)
        for group, tasks in sized_tasks().items()
        for task in tasks
    ]


def _labels(rows: int | None) -> list[Case]:
    return [
        Case(name, None, rows or len(sample(None, 0)[0]), sample, name, "scikit-learn's digits")
        for name, sample in labels().items()
    ]


def _repeats(rows: int | None) -> list[Case]:
    def case(name: str, kind: Repeats) -> Case:
        def sample(size: int, seed: int) -> Samples:
            return kind.draw(np.random.default_rng(seed), size)

        return Case(name, kind.nats, rows or kind.rows, sample, kind.group, "numpy")

    return [case(name, kind) for name, kind in repeats().items()]


SUITES: dict[str, Suite] = {
    "beyond-normal": Suite(
        'the 40 tasks of "Beyond Normal" and a few more', "mean error at most 0.017, largest 0.10", _beyond_normal, 1
    ),
    "bmi2": Suite(
        "mixtures of benchmark-mi's second version", "mean error at most 0.05, none over 0.15, 9 of 11 held", _bmi2
    ),
    "mutinfo": Suite(
        "mutinfo's grid of one to three coordinates",
        "mean error at most 0.07 at 1 nat, 0.09 at 3, 0.3 at 5, 0.8 at 8",
        _mutinfo,
        1,
    ),
    "gaussian": Suite("Gaussians of many coordinates", "within 0.03; within 0.06", _gaussian),
    "small": Suite("small samples", "dependent: mean error at most KSG's; independent: at most 0.01", _small, seeds=10),
    "coverage": Suite(
        "how often the 95 % interval holds the truth", "36 of 40 each", _coverage, 40, ("infomax",), 10_000
    ),
    "labels": Suite(
        "digits and their classes", "at least 2.2, codings within 0.03", _labels, 3, ("infomax", "SVM (scikit-learn)")
    ),
    "repeats": Suite(
        "counts, rounded numbers and labels",
        "intervals that hold the truth; independent: at most 0.01",
        _repeats,
        5,
        ("infomax",),
    ),
    "sizes": Suite(
        "rows, coordinates and information, without networks",
        "a picture for advice",
        _sizes,
        3,
        ("infomax, start alone",),
        20_000,
        picture=draw_sizes,
    ),
    "strong": Suite(
        "strong dependence",
        "within 0.6, or flagged and between half of log n and twice log n; the interval finite",
        _strong,
        3,
        ("infomax", "KSG, k = 3"),
        tolerance=0.6,
    ),
}
