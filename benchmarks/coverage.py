"""How often the intervals of estimate_mi hold the truth, where it is known."""

from __future__ import annotations

import argparse
import statistics

import torch

from benchmarks.harness import write
from infomax import estimate_mi
from infomax.mi.tasks import Task, beyond_normal, dense_gaussian, independent, sparse_gaussian

__all__ = ["add_options", "run"]


def add_options(command: argparse.ArgumentParser) -> None:
    """Say how many samples of which size."""
    command.add_argument("--repeats", type=int, default=40, help="samples a task")
    command.add_argument("--size", type=int, default=1000, help="pairs a sample")
    command.add_argument("--steps", type=int, default=100, help="training steps")


def run(options: argparse.Namespace) -> None:
    """Draw samples, and count."""
    repeats, size, steps = (2, 60, 5) if options.smoke else (options.repeats, options.size, options.steps)
    named = beyond_normal()
    tasks: list[Task] = [
        independent(1, 1), independent(5, 5), dense_gaussian(1, 1, 0.75), dense_gaussian(5, 5), sparse_gaussian(3, 3),
        named["student-identity-2-2-1"], named["1v1-additive-0.75"],
    ]  # fmt: skip
    rows = []
    for task in tasks:
        found = []
        for seed in range(repeats):
            x, y = task.sample(size, seed=10_000 + seed)
            found.append(estimate_mi(x, y, random_state=seed, max_steps=steps))
        nats = [one.nats for one in found]
        rows.append({
            "task": task.name, "truth": task.nats, "mean": statistics.mean(nats), "spread": statistics.stdev(nats),
            "standard error": statistics.mean(one.standard_error for one in found),
            "holds the truth": f"{sum(one.low <= task.nats <= one.high for one in found)} of {repeats}",
            "truth above": sum(task.nats > one.high for one in found),
            "truth below": sum(task.nats < one.low for one in found),
        })  # fmt: skip
        print(rows[-1], flush=True)
    title = f"95% intervals of estimate_mi, {repeats} samples of {size} pairs, {steps} steps, {torch.__version__}"
    write("coverage", title, rows, keep=not options.smoke)
