"""A plot of trained critics against the truth, by family, and on their own training pairs; needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import pyplot
from benchmarks.staircase import draw_means, draw_spreads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

FAMILIES = {
    "With a ceiling": ("infonce", "alpha_tuba", "alpha_tuba (learned)", "wasserstein"),
    "Trained on the bound": ("dv", "mine", "nwj", "tuba", "flo"),
    "Trained on something else": ("jsd", "jsd (nwj)", "smile", "rkl", "hellinger", "chi2"),
    "From above": ("club", "leave_one_out"),
}
_LOWEST = -0.5
_BARS = -2.0, 6.0
Rows = Sequence[Mapping[str, object]]


def draw(fresh: Rows, finite: Rows, batch: int, file: Path) -> None:
    """Draw means and spreads by family, and bars of the finite sample; without matplotlib, print a message instead."""
    plt = pyplot()
    if plt is None:
        return
    figure = plt.figure(figsize=(13, 10), layout="constrained")
    grid = figure.add_gridspec(3, len(FAMILIES), height_ratios=(1.15, 1, 1))
    for column, (title, names) in enumerate(FAMILIES.items()):
        means, spreads = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        rows = [row for row in fresh if row["estimator"] in names]
        _staircase(means, rows, batch)
        means.set_title(title)
        means.legend(fontsize="small", loc="upper left")
        draw_spreads(spreads, [{**row, "spread": _shown(row, "spread")} for row in rows])
        spreads.set_ylim(0.03, 30)
        means.set_xlabel("")
        means.set_ylabel("" if column else "mean estimate, nats (x: below)")
        spreads.set_ylabel("" if column else "standard deviation, nats")
    _bars(figure.add_subplot(grid[2, :]), finite)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def _staircase(ax: Axes, rows: Rows, batch: int) -> None:
    """Draw the means; a cross at the lower edge stands for a mean that is below it or not finite."""
    draw_means(ax, [{**row, "mean": _shown(row, "mean")} for row in rows], batch)
    ax.set_ylim(_LOWEST, 14)
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    for row in rows:
        if math.isnan(_shown(row, "mean")):
            place = names.index(row["estimator"])
            ax.plot(row["truth"] + 0.1 * place, _LOWEST, "x", color=f"C{place}", clip_on=False, zorder=9)


def _shown(row: Mapping[str, object], column: str) -> float:
    """Return the number, or NaN if the mean of the row is not finite or below the picture."""
    mean = float(row["mean"])
    return float(row[column]) if math.isfinite(mean) and mean >= _LOWEST else math.nan


def _bars(ax: Axes, rows: Rows) -> None:
    kinds = ("training pairs", "best fresh", "fresh pairs")
    width = 0.27
    for number, kind in enumerate(kinds):
        places = [place + (number - 1) * width for place in range(len(rows))]
        values = [float(row[kind]) for row in rows]
        shown = [min(max(value, _BARS[0]), _BARS[1]) if math.isfinite(value) else _BARS[0] for value in values]
        ax.bar(places, shown, width, label=kind, color=f"C{number}")
        for place, value, height in zip(places, values, shown, strict=True):
            if value != height:
                ax.text(
                    place, max(height, 0.1), f"{value:.2g}", fontsize="x-small", ha="center", va="bottom", rotation=90
                )
    truth = float(rows[0]["truth"])
    ax.axhline(truth, color="black", linewidth=0.8)
    ax.axhline(0, color="grey", linewidth=0.5)
    ax.set_xticks(range(len(rows)), [str(row["estimator"]) for row in rows], rotation=20, ha="right", fontsize="small")
    ax.set_ylim(_BARS[0], _BARS[1] + 1.8)
    ax.set_ylabel("mean estimate, nats")
    ax.set_title(
        f"A finite sample of {truth:g} nats: the pairs trained on, and fresh pairs at the best moment and at the end"
    )
    ax.legend(fontsize="small", loc="upper left", ncols=3)
