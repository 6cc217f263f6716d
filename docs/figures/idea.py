"""The drawing of the idea, for the README and the first page: ``python docs/figures/idea.py`` writes ``idea.png``.

Above: a batch of inputs, an encoder, and a map and a vector of each example. Below: a critic that scores every pair,
the table of scores, and an estimator that turns it into a bound.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from theme import WIDTH, Palette, bare, save

SIDE = 3  # examples, and the side of a map
HEIGHT = 4.3
TOP, BOTTOM = 3.15, 1.2  # the two rows


def box(ax: Axes, palette: Palette, x: float, y: float, width: float, text: str) -> None:
    """A box with its middle line at ``y``."""
    shape = FancyBboxPatch(
        (x, y - 0.33), width, 0.66, boxstyle="round,pad=0,rounding_size=0.08", fc=palette.box, ec=palette.ink
    )
    ax.add_patch(shape)
    ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=12, color=palette.ink)


def arrow(ax: Axes, palette: Palette, *points: tuple[float, float]) -> None:
    """An arrow through the points."""
    *line, end = points
    ax.plot(*zip(*line, end, strict=True), color=palette.ink, lw=1.3, solid_joinstyle="round")
    ax.annotate("", end, line[-1], arrowprops={"arrowstyle": "-|>", "color": palette.ink, "lw": 1.3, "shrinkB": 0})


def caption(ax: Axes, palette: Palette, x: float, y: float, title: str, text: str) -> None:
    """A title in bold with a line below it."""
    ax.text(x, y, title, ha="center", va="top", fontsize=12, weight="bold", color=palette.ink)
    ax.text(x, y - 0.22, text, ha="center", va="top", fontsize=11, color=palette.quiet, linespacing=1.25)


def draw(figure: Figure, palette: Palette) -> None:
    """Both rows."""
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, WIDTH)
    ax.set_ylim(0, HEIGHT)
    bare(ax)
    # a batch, and the encoder
    for example, colour in enumerate(palette.examples):
        place = (0.2 + 0.14 * example, TOP - 0.05 - 0.16 * example)
        ax.add_patch(Rectangle(place, 0.55, 0.55, fc=colour, ec=palette.paper, lw=1.2))
    caption(ax, palette, 0.72, 2.62, "a batch", "images, text, ...")
    arrow(ax, palette, (1.12, TOP), (1.42, TOP))
    box(ax, palette, 1.45, TOP, 0.95, "encoder")
    # a map and a vector of each example
    arrow(ax, palette, (2.45, TOP + 0.1), (2.88, TOP + 0.5))
    arrow(ax, palette, (2.45, TOP - 0.1), (2.88, TOP - 0.5))
    for example, colour in enumerate(palette.examples):
        left = 2.98 + 0.44 * example
        for row in range(SIDE):
            for column in range(SIDE):
                place = (left + 0.125 * column, TOP + 0.42 + 0.125 * row)
                ax.add_patch(Rectangle(place, 0.125, 0.125, fc=colour, ec=palette.paper, lw=0.8))
        ax.add_patch(Rectangle((left + 0.125, TOP - 0.8), 0.125, 0.5, fc=colour, ec=palette.paper, lw=0.8))
    for y, title, text in ((TOP + 0.62, "map", "local features"), (TOP - 0.55, "vector", "global feature")):
        ax.text(4.38, y + 0.11, title, ha="left", va="center", fontsize=12, weight="bold", color=palette.ink)
        ax.text(4.38, y - 0.12, text, ha="left", va="center", fontsize=11, color=palette.quiet)
    # down to the critic
    arrow(ax, palette, (3.6, 2.25), (3.6, 1.98), (0.62, 1.98), (0.62, BOTTOM + 0.36))
    box(ax, palette, 0.2, BOTTOM, 0.85, "critic")
    caption(ax, palette, 0.62, BOTTOM - 0.45, "scores pairs", "$T(x, y)$")
    arrow(ax, palette, (1.1, BOTTOM), (1.45, BOTTOM))
    # the table of scores: one vector per row, one location per column
    cell = 0.185
    for example in range(SIDE):
        y = BOTTOM + 0.1 - 0.27 * example
        ax.add_patch(Rectangle((1.55, y), 0.1, 0.22, fc=palette.examples[example], ec="none"))
        for other in range(SIDE):
            for location in range(SIDE):
                x = 1.72 + cell * (SIDE * other + location) + 0.05 * other
                colour = palette.joint if other == example else palette.marginal
                ax.add_patch(Rectangle((x, y), cell - 0.025, 0.22, fc=colour, ec="none"))
    for other, colour in enumerate(palette.examples):
        x = 1.72 + cell * SIDE * other + 0.05 * other
        ax.add_patch(Rectangle((x, BOTTOM + 0.4), cell * SIDE - 0.025, 0.1, fc=colour, ec="none"))
    ax.text(2.6, BOTTOM - 0.56, "joint pairs", ha="center", va="top", fontsize=12, weight="bold", color=palette.joint)
    ax.text(
        2.6, BOTTOM - 0.79, "marginal pairs", ha="center", va="top", fontsize=12, weight="bold", color=palette.quiet
    )
    arrow(ax, palette, (3.52, BOTTOM), (3.86, BOTTOM))
    box(ax, palette, 3.9, BOTTOM, 1.45, "estimator")
    caption(ax, palette, 4.62, BOTTOM - 0.45, "bound", "a loss to minimise,\ninformation in nats")


if __name__ == "__main__":
    save("idea", draw, HEIGHT)
