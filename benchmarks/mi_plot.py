"""Estimate less truth, task by task, for every method; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["draw"]

_SHOWN = 0.6  # nats; errors beyond lie on the edge


def draw(rows: Sequence[Mapping[str, object]], file: Path) -> None:
    """Draw the errors of all methods, with our intervals, or say why not."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: it needs matplotlib")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, ax = plt.subplots(figsize=(9, 1.5 + 0.24 * len(tasks)), layout="constrained")
    ax.axvline(0, color="black", linewidth=0.8)
    for number, method in enumerate(methods):
        chosen = [row for row in rows if row["method"] == method and row["nats"] is not None]
        errors = [max(-_SHOWN, min(_SHOWN, row["nats"] - row["truth"])) for row in chosen]
        places = [tasks.index(row["task"]) + 0.5 * (number / max(1, len(methods) - 1) - 0.5) for row in chosen]
        ax.plot(errors, places, "o" if number == 0 else ".", color=f"C{number}", label=method, zorder=10 - number)
        for row, error, place in zip(chosen, errors, places, strict=True):
            if row["low"] is not None:
                ends = row["low"] - row["truth"], row["high"] - row["truth"]
                ax.plot([min(ends[0], error), max(ends[1], error)], [place, place], color=f"C{number}", linewidth=1)
    ax.set_yticks(range(len(tasks)), tasks, fontsize="x-small")
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.set_xlim(-_SHOWN - 0.02, _SHOWN + 0.02)
    ax.set_xlabel(f"estimate less truth, nats (beyond {_SHOWN}: on the edge)")
    ax.grid(axis="y", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(file, dpi=110)
    plt.close(figure)
