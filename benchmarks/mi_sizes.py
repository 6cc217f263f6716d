"""The error of an estimate by rows, coordinates and mutual information, as advice on sample sizes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import pyplot
from infomax.mi.tasks import Task, correlated_normal, smoothed_uniform

__all__ = ["ROWS", "draw_sizes", "sized_tasks"]

ROWS = (100, 300, 1000, 3000)
_NATS = (0.1, 0.5, 2.0)
_DIMS = (1, 5, 20)


def sized_tasks() -> dict[str, list[Task]]:
    """Return tasks by group: normal ones, with the information split equally over coordinates, and uniform noise."""
    tasks = {f"normal, {dim} + {dim}": [correlated_normal(*[nats / dim] * dim) for nats in _NATS] for dim in _DIMS}
    return {**tasks, "uniform noise, 1 + 1": [smoothed_uniform(nats) for nats in _NATS]}


def draw_sizes(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw the absolute error of the first method, a mean over samples, against the number of rows.

    There is one panel per group of tasks, and one line per amount of information.
    """
    plt = pyplot()
    if plt is None:
        return
    method = next(iter(dict.fromkeys(row["method"] for row in rows)))
    rows = [row for row in rows if row["method"] == method]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    figure, axes = plt.subplots(
        1, len(groups), figsize=(2.6 * len(groups), 3), sharey=True, layout="constrained", squeeze=False
    )
    for ax, group in zip(axes[0], groups, strict=True):
        of_group = [row for row in rows if row["group"] == group and row["nats"] is not None]
        for number, truth in enumerate(sorted({row["truth"] for row in of_group})):
            sizes = sorted({int(row["rows"]) for row in of_group if row["truth"] == truth})
            errors = [
                statistics.fmean(
                    abs(row["nats"] - truth) for row in of_group if row["truth"] == truth and int(row["rows"]) == size
                )
                for size in sizes
            ]
            ax.plot(sizes, [max(error, 1e-3) for error in errors], "o-", color=f"C{number}", label=f"{truth:g} nats")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(group, fontsize="small")
        ax.set_xlabel("rows")
        ax.grid(linewidth=0.3)
    axes[0][0].set_ylabel("absolute error, nats (0.001 or more)")
    axes[0][-1].legend(fontsize="small")
    figure.savefig(file, dpi=110)
    plt.close(figure)
