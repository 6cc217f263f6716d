"""The pictures of the report. Each function takes finished results and writes one PNG.

Without matplotlib, which a GPU machine may lack, they write none and say so once.
"""

import functools
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import numpy as np
from torch import Tensor

from .files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        Figure = None

P = ParamSpec("P")

BLUE, ORANGE, GREEN, GREY, INK = "#2563ab", "#d9702b", "#3b8f5a", "#9aa3ad", "#2b2f36"
PALETTE = (BLUE, ORANGE, "#7a5195", "#c9a227", "#4fb0c6", "#b5527d")  # for encoders trained without labels


@functools.cache
def _say_missing() -> None:
    print("  (no pictures: matplotlib is not installed)")


def picture(draw: Callable[P, None]) -> Callable[P, None]:
    """Leave the picture out where matplotlib is not installed."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        if Figure is None:
            _say_missing()
        else:
            draw(*args, **kwargs)

    return drawn


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG at a resolution that stays sharp on a page."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150, bbox_inches="tight", facecolor="white")
    write_bytes(path, picture.getvalue())


def tidy(axes: "Axes", title: str, x: str, y: str) -> None:
    """Give every plot the same look: no box, a faint grid, the title on the left."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(visible=True, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)


@picture
def curves(rows: list[dict[str, str]], path: Path, unit_of_loss: str = "") -> None:
    """Draw the loss against time, and in a second panel the MI with its ceiling or the training accuracy, if any."""
    seconds = [float(row["seconds"]) for row in rows]
    unit, length = ("minutes", 60) if seconds[-1] > 180 else ("seconds", 1)
    time = [second / length for second in seconds]

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in rows if row.get(name)]

    panels = 2 if column("mi") or column("accuracy") else 1
    figure = Figure(figsize=(4.5 * panels, 3.4), layout="constrained")
    left, right = figure.subplots(1, panels, squeeze=False)[0][[0, -1]]
    _line(left, time, column("loss"), BLUE)
    tidy(left, "Loss", f"{unit} of training", unit_of_loss or "loss")
    if column("mi"):
        _line(right, time, column("mi"), ORANGE)
        ceiling = column("mi_ceiling")
        if ceiling:
            right.axhline(ceiling[-1], color=GREY, linestyle="--", linewidth=1)
            right.annotate(
                f"ceiling log(1 + K) = {ceiling[-1]:.2f}",
                (1, ceiling[-1]),
                xycoords=("axes fraction", "data"),
                xytext=(0, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=9,
                color="#666d76",
            )
            right.set_ylim(top=ceiling[-1] * 1.06)
        tidy(right, "Mutual information, as estimated on training batches", f"{unit} of training", "nats")
    elif column("accuracy"):
        _line(right, time, [100 * a for a in column("accuracy")], ORANGE)
        tidy(right, "Accuracy on training batches", f"{unit} of training", "%")
    save(figure, path)


def _line(axes: "Axes", x: list[float], y: list[float], colour: str) -> None:
    """Draw the values faintly, and their running mean over a fiftieth of the run."""
    width = max(1, len(y) // 50)
    axes.plot(x[: len(y)], y, color=colour, alpha=0.3 if width > 1 else 1.0, linewidth=1.2)
    if width > 1:
        smooth = np.convolve(y, np.ones(width) / width, "valid")
        axes.plot(x[width - 1 : len(y)], smooth, color=colour, linewidth=1.8)


@picture
def accuracies(table: dict[str, dict[str, float]], path: Path) -> None:
    """Draw a group of bars per layer, a bar per encoder. ``table[encoder][layer]`` is a test accuracy in %."""
    layers = list(dict.fromkeys(layer for row in table.values() for layer in row))
    fixed = {"untrained": GREY, "supervised": GREEN}
    others = itertools.cycle(PALETTE)
    colours = {name: fixed.get(name) or next(others) for name in table}
    width = 0.8 / len(table)
    figure = Figure(figsize=(max(7, 2 + len(layers) * len(table) * 0.5), 3.2), layout="constrained")
    axes = figure.subplots()
    axes.set_axisbelow(True)
    for number, (name, row) in enumerate(table.items()):
        x = [layers.index(layer) + (number - (len(table) - 1) / 2) * width for layer in row]
        bars = axes.bar(x, list(row.values()), width * 0.94, label=name, color=colours[name])
        axes.bar_label(bars, fmt="%.1f", fontsize=8, color=INK, padding=1)
    axes.set_xticks(range(len(layers)), layers)
    axes.set_ylim(0, min(100, max(max(row.values()) for row in table.values()) * 1.15))
    tidy(axes, "Test accuracy of a 200-unit probe, encoder frozen", "", "%")
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


@picture
def learning(rows: list[dict[str, str]], path: Path) -> None:
    """Draw the accuracy of the quick probes during training."""
    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    axes = figure.subplots()
    colours = iter((BLUE, ORANGE, GREEN, GREY))
    for layer in dict.fromkeys(row["layer"] for row in rows):
        points = [(float(r["epoch"]), float(r["accuracy"])) for r in rows if r["layer"] == layer]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=layer, color=next(colours, INK))
    tidy(axes, "Quick probes on the way", "epochs", "test accuracy, %")
    axes.legend(frameon=False, fontsize=9)
    save(figure, path)


@picture
def learning_curves(runs: dict[str, list[dict[str, str]]], path: Path) -> None:
    """Draw the accuracy of the quick probes, a panel per layer, a line per run. ``runs[name]``: rows of probes.csv."""
    layers = list(dict.fromkeys(row["layer"] for rows in runs.values() for row in rows))
    figure = Figure(figsize=(3.6 * len(layers) + 2, 3.4), layout="constrained")
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, layer in zip(panels, layers, strict=True):
        looks = itertools.product(("-", "--", ":"), (*PALETTE, GREEN, GREY))  # another line style when colours run out
        for (name, rows), (style, colour) in zip(runs.items(), looks, strict=False):
            points = [(float(r["seconds"]) / 60, float(r["accuracy"])) for r in rows if r["layer"] == layer]
            axes.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=name, color=colour)
        tidy(axes, layer, "minutes of training", "test accuracy of quick probes, %" if layer == layers[0] else "")
    panels[-1].legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


@picture
def against_negatives(
    lines: dict[str, dict[str, dict[int, list[float]]]], untrained: dict[str, float], path: Path
) -> None:
    """Draw accuracy against the number of negatives: a panel per layer, a line per estimator, a dot per run.

    ``lines[name][layer][negatives]`` are the accuracies of the runs. A line goes through their means.
    """
    layers = list(next(iter(lines.values())))
    figure = Figure(figsize=(3.4 * len(layers) + 1, 3.4), layout="constrained")
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, layer in zip(panels, layers, strict=True):
        for (name, table), colour in zip(lines.items(), itertools.cycle(PALETTE), strict=False):
            runs = {count: values for count, values in table[layer].items() if values}
            axes.plot(list(runs), [np.mean(v) for v in runs.values()], color=colour, linewidth=1.8, label=name)
            dots = [(count, value) for count, values in runs.items() for value in values]
            axes.plot(*zip(*dots, strict=True), "o", color=colour, markersize=4, alpha=0.7)
        if layer in untrained:
            axes.axhline(untrained[layer], color=GREY, linestyle="--", linewidth=1, label="untrained")
        counts = sorted({count for table in lines.values() for count in table[layer]})
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        tidy(axes, layer, "negatives for each global", "test accuracy, %" if layer == layers[0] else "")
    panels[-1].legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


@picture
def neighbours(pixels: Tensor, labels: Tensor, queries: Tensor, columns: dict[str, Tensor], path: Path) -> None:
    """Draw the queries on the left, then a block of nearest neighbours for each name in ``columns``.

    Args:
        pixels: images, (N, H, W, C) uint8.
        labels: their classes, (N,); -1 where unknown.
        queries: indices of the query images, (q,).
        columns: name of a space -> indices of each query's nearest images there, (q, k).
        path: the PNG.
    """
    blocks = list(columns.items())
    ratios = [1.0]
    for _, found in blocks:
        ratios += [0.35] + [1.0] * found.shape[1]
    figure = Figure(figsize=(0.72 * sum(ratios), 0.76 * len(queries) + 0.4))
    grid = figure.subplots(
        len(queries), len(ratios), gridspec_kw={"width_ratios": ratios, "wspace": 0.06, "hspace": 0.06}
    )
    grid = np.atleast_2d(grid)
    for axes in grid.flat:
        axes.axis("off")
    for number, query in enumerate(queries.tolist()):
        _picture(grid[number][0], pixels[query], INK)
        at = 1
        for _, found in blocks:
            at += 1
            for index in found[number].tolist():
                same = bool(labels[index] == labels[query])
                colour = (GREEN if same else ORANGE) if labels[query] >= 0 else GREY
                _picture(grid[number][at], pixels[index], colour)
                at += 1
    grid[0][0].set_title("query", fontsize=9, color=INK)
    at = 1
    for name, found in blocks:
        grid[0][at + 1].set_title(name, fontsize=9, color=INK, loc="left")
        at += 1 + found.shape[1]
    save(figure, path)


@picture
def reconstructions(pixels: Tensor, made: dict[str, Tensor], path: Path) -> None:
    """Draw images in the first row, and below them one row per encoder of the images decoded from its features.

    Args:
        pixels: images, (n, H, W, C) uint8.
        made: name of an encoder -> decoded images, (n, C, H, W) in [0, 1].
        path: the PNG.
    """
    decoded = {f"from y, {name}": (255 * images).round().byte().permute(0, 2, 3, 1) for name, images in made.items()}
    lines = {"image": pixels, **decoded}
    figure = Figure(figsize=(0.72 * len(pixels) + 1.4, 0.76 * len(lines)))
    grid = figure.subplots(len(lines), len(pixels), squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for row, (name, images) in zip(grid, lines.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            _picture(axes, image, GREY)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    save(figure, path)


def _picture(axes: "Axes", pixels: Tensor, colour: str) -> None:
    axes.axis("on")
    image = pixels.squeeze(-1).numpy()
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2.2)
