"""A plot of the estimate minus the truth for every case and method; needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import pyplot

__all__ = ["draw"]

_SHOWN = 0.6  # nats; larger errors are drawn at the edge
_FARTHEST = 25.0  # nats; larger estimates and interval ends are drawn at the edge
Row = Mapping[str, Any]


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw the errors of all methods into a file, with intervals where a method gives them.

    If a truth is infinite or unknown, estimates are drawn in place of errors, with a mark at each finite truth. Without
    matplotlib, a message is printed instead.
    """
    plt = pyplot()
    if plt is None:
        return
    known = all(row["truth"] is not None and math.isfinite(row["truth"]) for row in rows)
    low, high = (-_SHOWN, _SHOWN) if known else (0.0, _highest(rows))
    cases = list(dict.fromkeys(_case(row) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, ax = plt.subplots(figsize=(9, 1.5 + 0.24 * len(cases)), layout="constrained")
    if known:
        ax.axvline(0, color="black", linewidth=0.8)
    else:
        _mark_truths(ax, rows, cases)
    for number, method in enumerate(methods):
        chosen = [row for row in rows if row["method"] == method and row["nats"] is not None]
        shift = 0.5 * (number / max(1, len(methods) - 1) - 0.5)
        places = [cases.index(_case(row)) + shift for row in chosen]
        shown = [max(low, min(high, _from_truth(row, row["nats"], known))) for row in chosen]
        ax.plot(shown, places, "o" if number == 0 else ".", color=f"C{number}", label=method, zorder=10 - number)
        for row, value, place in zip(chosen, shown, places, strict=True):
            if row["low"] is not None:
                ends = [max(low, min(high, _from_truth(row, row[end], known))) for end in ("low", "high")]
                ax.plot([min(ends[0], value), max(ends[1], value)], [place, place], color=f"C{number}", linewidth=1)
    ax.set_yticks(range(len(cases)), cases, fontsize="x-small")
    ax.set_ylim(len(cases) - 0.5, -0.5)
    margin = 0.02 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    edge = f"(beyond {high:.3g}: on the edge)"
    ax.set_xlabel(f"estimate minus truth, nats {edge}" if known else f"estimate, nats; | the truth {edge}")
    ax.grid(axis="y", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _case(row: Row) -> str:
    return f"{row['task']}, {row['rows']}"


def _from_truth(row: Row, value: float, known: bool) -> float:
    return value - row["truth"] if known else value


def _highest(rows: Sequence[Row]) -> float:
    values = [row[key] for row in rows for key in ("truth", "nats") if row[key] is not None and math.isfinite(row[key])]
    return min(_FARTHEST, 1.1 * max(values, default=1.0))


def _mark_truths(ax: Any, rows: Sequence[Row], cases: Sequence[str]) -> None:
    truths = {_case(row): row["truth"] for row in rows if row["truth"] is not None and math.isfinite(row["truth"])}
    ax.plot(list(truths.values()), [cases.index(case) for case in truths], "|", color="black", markersize=12)
