"""Bias, spread and ceiling of ten estimators with the optimal critic, for growing mutual information."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness import DEVICE, RESULTS, pyplot, write
from benchmarks.staircase import DIM, correlation, draw_means, draw_spreads, gaussian_pairs
from infomax import functional as F
from infomax.estimators import build_estimator

__all__ = ["add_options", "run"]

NAMES = ("infonce", "dv", "nwj", "smile", "jsd", "mine", "tuba", "alpha_tuba", "leave_one_out", "club")
TRUTHS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options for the batch size and the number of batches."""
    command.add_argument("--batch", type=int, default=128)
    command.add_argument("--repeats", type=int, default=200, help="batches per truth")


def run(options: argparse.Namespace) -> None:
    """Give each estimator exact log density ratios of Gaussian pairs, so that every error is the estimator's own."""
    batch, repeats = (16, 3) if options.smoke else (options.batch, options.repeats)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for truth in TRUTHS:
        tables = [_exact_scores(truth, batch, generator) for _ in range(repeats)]
        for name in NAMES:
            estimator = build_estimator(name)
            # Without an optimum, the critic is a log density. It differs from the log ratio by a term that cancels.
            slope, offset = estimator.optimum or (1.0, 0.0)
            values = torch.stack([
                estimator.mutual_information(F.dense_scores(slope * table + offset)) for table in tables
            ])  # fmt: skip
            rows.append({
                "estimator": name, "bound": estimator.bound, "truth": truth, "mean": float(values.mean()),
                "bias": float(values.mean()) - truth, "spread": float(values.std()),
            })  # fmt: skip
    title = f"Estimators with the exact critic: {repeats} batches of {batch} Gaussian pairs, {DIM} coordinates a side"
    write("estimators", title, rows, keep=not options.smoke)
    if not options.smoke:
        _draw(rows, batch, RESULTS / f"estimators-{DEVICE}.png")


def _exact_scores(nats: float, batch: int, generator: torch.Generator) -> Tensor:
    """Return the log density ratios of all pairs of a batch: ``table[i, j]`` is for global i and local j."""
    x, y = gaussian_pairs(nats, batch, generator)
    rho = correlation(nats)
    square = x.square().sum(1), y.square().sum(1)
    bent = rho**2 * (square[1][:, None] + square[0]) - 2 * rho * y @ x.T
    return nats - bent / (2 * (1 - rho**2))


def _draw(rows: list[dict[str, object]], batch: int, file: Path) -> None:
    plt = pyplot()
    if plt is None:
        return
    figure, (means, spreads) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw_means(means, rows, batch)
    draw_spreads(spreads, rows)
    spreads.legend(fontsize="small", ncols=2)
    figure.savefig(file, dpi=110)
    plt.close(figure)
