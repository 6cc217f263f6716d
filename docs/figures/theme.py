"""How the drawings of the site look: each is drawn twice, for light and for dark pages, and wide enough for a phone.

A drawing is a function of a figure and a palette. ``save`` calls it once per palette and writes ``NAME.png`` and
``NAME-dark.png``; the site shows the one that fits the page (``docs/conf.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 5.6  # inches: 560 pixels on a page, 360 on a phone, where 11 points are still 9 pixels
HERE = Path(__file__).parent


class Palette(NamedTuple):
    """Colours of one theme."""

    paper: str
    ink: str
    quiet: str
    box: str
    joint: str
    marginal: str
    examples: tuple[str, str, str]
    low_to_high: str  # a colour map for scores


LIGHT = Palette(
    "#ffffff", "#1f2933", "#5f6c78", "#eef2f6", "#c8324b", "#b8c4ce", ("#2e86ab", "#e69528", "#4c9f70"), "Blues"
)
DARK = Palette(
    "#131416", "#e4e7ea", "#a3adb7", "#24292e", "#ff6b81", "#4a545e", ("#5bb3d8", "#f2b257", "#74c798"), "cividis"
)


def save(name: str, draw: Callable[[Figure, Palette], None], height: float) -> None:
    """Draw for both themes and write the two files beside this one."""
    for palette, suffix in ((LIGHT, ""), (DARK, "-dark")):
        style = {
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), palette.ink
            ),
            **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), palette.paper),
        }
        with mpl.rc_context(style):
            figure = Figure(figsize=(WIDTH, height), dpi=200, layout="constrained")
            draw(figure, palette)
            figure.savefig(HERE / f"{name}{suffix}.png")
    print(HERE / f"{name}.png")


def bare(ax: Axes) -> None:
    """Leave out the frame and the ticks."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
