"""Gaussian pairs of known mutual information, and plots of estimates against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DIM", "correlation", "draw_means", "draw_spreads", "gaussian_pairs"]

DIM = 10
Rows = Sequence[Mapping[str, object]]


def correlation(nats: float) -> float:
    """Return the correlation of matching coordinates of x and y at which the total information is ``nats``."""
    return math.sqrt(1 - math.exp(-2 * nats / DIM))


def gaussian_pairs(nats: float, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw x and y, (rows, DIM) in float64, standard normal and correlated coordinate by coordinate."""
    rho = correlation(nats)
    x, noise = torch.randn(2, rows, DIM, generator=generator, dtype=torch.float64)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def draw_means(ax: Axes, rows: Rows, batch: int) -> None:
    """Draw the mean estimates against the truth, with the diagonal and InfoNCE's ceiling."""
    truths = list(dict.fromkeys(float(row["truth"]) for row in rows))  # type: ignore[arg-type]
    ax.plot(truths, truths, color="black", linewidth=0.8)
    ax.axhline(math.log(batch), color="grey", linestyle="--", linewidth=0.8)
    ax.text(truths[0], math.log(batch), f"log {batch}", va="bottom", color="grey")
    _lines(ax, rows, "mean")
    ax.set_ylim(0, 1.5 * truths[-1])
    ax.set_ylabel("mean estimate, nats")


def draw_spreads(ax: Axes, rows: Rows) -> None:
    """Draw the standard deviations over batches against the truth."""
    _lines(ax, rows, "spread")
    ax.set_yscale("log")
    ax.set_ylabel("standard deviation over batches, nats")


def _lines(ax: Axes, rows: Rows, column: str) -> None:
    for name in dict.fromkeys(str(row["estimator"]) for row in rows):
        chosen = [row for row in rows if row["estimator"] == name]
        ax.plot([row["truth"] for row in chosen], [row[column] for row in chosen], ".-", label=name)
    ax.set_xlabel("mutual information, nats")
