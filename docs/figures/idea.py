"""The drawing of the idea, for the README and the first page: ``python docs/figures/idea.py`` writes ``idea.png``.

From left to right: a batch of inputs, an encoder with its map and its vector, a critic that scores every pair, and an
estimator that turns the scores into a bound.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

OUT = Path(__file__).parent / "idea.png"
JOINT, MARGINAL, INK, BOX = "#d1495b", "#b8c4ce", "#1f2933", "#eef2f6"
COLOURS = ("#2e86ab", "#f2a541", "#4c9f70")
SIDE = 3  # examples, and the side of a map


def box(ax: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", fc=BOX, ec=INK))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=13, color=INK)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 2, "shrinkB": 2})


def caption(ax: Axes, x: float, y: float, title: str, text: str) -> None:
    ax.text(x, y, title, ha="center", va="top", fontsize=13, weight="bold", color=INK)
    ax.text(x, y - 0.27, text, ha="center", va="top", fontsize=11.5, color=INK, linespacing=1.35)


def draw() -> None:
    figure, ax = plt.subplots(figsize=(12.6, 3.7), dpi=160)
    ax.set_xlim(-0.15, 12.55)
    ax.set_ylim(-0.05, 3.6)
    ax.set_aspect("equal")
    ax.axis("off")
    # inputs
    for example, colour in enumerate(COLOURS):
        ax.add_patch(Rectangle((0.05 + 0.16 * example, 1.75 - 0.22 * example), 0.8, 0.8, fc=colour, ec="white", lw=1.5))
    caption(ax, 0.65, 0.85, "a batch", "images, tokens,\nnodes, ...")
    arrow(ax, (1.3, 1.9), (1.75, 1.9))
    box(ax, 1.8, 1.35, 1.2, 1.1, "encoder")
    # map and vector of each example
    arrow(ax, (3.05, 2.1), (3.6, 2.65))
    arrow(ax, (3.05, 1.7), (3.6, 1.15))
    for example, colour in enumerate(COLOURS):
        left = 3.68 + 0.72 * example
        for row in range(SIDE):
            for column in range(SIDE):
                place = (left + 0.2 * column, 2.45 + 0.2 * row)
                ax.add_patch(Rectangle(place, 0.2, 0.2, fc=colour, ec="white", lw=1, alpha=0.85))
        ax.add_patch(Rectangle((left + 0.2, 0.85), 0.2, 0.6, fc=colour, ec="white", lw=1))
    caption(ax, 4.72, 3.5, "map", "")
    ax.text(4.72, 2.36, "local features", ha="center", va="top", fontsize=11.5, color=INK)
    caption(ax, 4.72, 0.72, "vector", "global feature")
    arrow(ax, (5.9, 2.7), (6.55, 2.1))
    arrow(ax, (5.9, 1.15), (6.55, 1.75))
    box(ax, 6.6, 1.4, 1.0, 1.05, "critic\n$T(x, y)$")
    arrow(ax, (7.65, 1.92), (8.1, 1.92))
    # the table of scores: one global per row, one location per column
    cell = 0.21
    for example in range(SIDE):
        y = 2.45 - 0.36 * example
        ax.add_patch(Rectangle((8.2, y), 0.14, 0.3, fc=COLOURS[example], ec="none"))
        for other in range(SIDE):
            for location in range(SIDE):
                x = 8.45 + cell * (SIDE * other + location) + 0.06 * other
                colour = JOINT if other == example else MARGINAL
                ax.add_patch(Rectangle((x, y), cell - 0.03, 0.3, fc=colour, ec="none"))
    for other, colour in enumerate(COLOURS):
        x = 8.45 + cell * SIDE * other + 0.06 * other
        ax.add_patch(Rectangle((x, 2.85), cell * SIDE - 0.03, 0.12, fc=colour, ec="none"))
    caption(ax, 9.45, 3.5, "scores", "")
    ax.text(8.45, 1.45, "joint pairs", fontsize=11.5, color=JOINT, weight="bold", va="top")
    ax.text(8.45, 1.18, "marginal pairs", fontsize=11.5, color="#6b7a88", weight="bold", va="top")
    ax.text(8.45, 0.86, "reduced in blocks: no\ntable of scores is held", fontsize=10.5, color=INK, va="top")
    arrow(ax, (10.5, 1.92), (10.95, 1.92))
    box(ax, 11.0, 1.4, 1.35, 1.05, "estimator")
    caption(ax, 11.67, 1.2, "bound", "loss to minimise,\nMI in nats")
    figure.savefig(OUT, bbox_inches="tight", pad_inches=0.08, facecolor="white")


if __name__ == "__main__":
    draw()
    print(OUT)
