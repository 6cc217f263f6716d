"""Bias, spread, ceiling, cost and overfitting of the estimators with trained critics."""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from benchmarks.harness import DEVICE, RESULTS, Run, measure, write
from benchmarks.staircase import DIM
from benchmarks.trained_critics import TRAINED
from benchmarks.trained_plot import draw
from benchmarks.trained_run import Plan, Reading, fresh_batch, train

__all__ = ["add_options", "run"]

TRUTHS = (1.0, 2.0, 4.0, 6.0, 8.0)
FINITE = 2.0
TIMED_STEPS = 5


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options for the length, the data and the number of trainings."""
    command.add_argument("--batch", type=int, default=128)
    command.add_argument("--steps", type=int, default=500, help="of a training on fresh pairs; twice on a sample")
    command.add_argument("--seeds", type=int, default=2, help="trainings of each kind")
    command.add_argument("--reads", type=int, default=100, help="fresh batches that a trained critic is read on")
    command.add_argument("--sample", type=int, default=2000, help="pairs of the finite sample")
    command.add_argument("--rounds", type=int, default=9, help="times a few steps of each are measured")
    command.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trainings beside each other")


def run(options: argparse.Namespace) -> None:
    """Time a step of each training, train on fresh pairs and on a finite sample, and evaluate on fresh batches."""
    if options.smoke:
        options.batch, options.steps, options.seeds, options.reads, options.sample = 16, 4, 1, 3, 64
        options.rounds = 1
    torch.set_num_threads(1)
    cost = _cost(options.batch, options.rounds)
    seeds = range(options.seeds)
    endless = [
        Plan(name, nats, seed, options.steps, options.batch, options.reads)
        for nats in (TRUTHS[:1] if options.smoke else TRUTHS)
        for name in TRAINED
        for seed in seeds
    ]
    finite = [
        Plan(name, FINITE, seed, 2 * options.steps, options.batch, options.reads, options.sample)
        for name in TRAINED
        for seed in seeds
    ]
    done = _train_all([*endless, *finite], options.workers)
    fresh_rows = [_fresh_row(plans, name, readings, cost) for plans, name, readings in _groups(endless, done)]
    finite_rows = [_finite_row(plans, name, readings) for plans, name, readings in _groups(finite, done)]
    how = f"{options.seeds} trainings each: two small networks on {DIM} coordinates a side, batches of {options.batch}"
    title = f"Trained critics: {options.steps} steps on fresh Gaussian pairs, read on {options.reads} fresh batches"
    write("trained", f"{title}\n{how}", fresh_rows, keep=not options.smoke)
    write("trained-summary", f"{title}\n{how}", _summary(fresh_rows), keep=not options.smoke)
    title = f"Trained critics: {2 * options.steps} steps on {options.sample} Gaussian pairs of {FINITE:g} nats"
    write("trained-finite", f"{title}\n{how}", finite_rows, keep=not options.smoke)
    if not options.smoke:
        draw(fresh_rows, finite_rows, options.batch, RESULTS / f"trained-{DEVICE}.png")


def _cost(batch: int, rounds: int) -> dict[str, float]:
    """Return the time of a training step of each estimator, relative to InfoNCE's."""
    pairs = fresh_batch(TRUTHS[0], batch, torch.Generator().manual_seed(0))

    def steps_of(name: str) -> Run:
        trained = TRAINED[name]()

        def steps() -> None:
            for _ in range(TIMED_STEPS):
                trained.step(*pairs)

        return steps

    timings = measure({name: steps_of(name) for name in TRAINED}, rounds, warm_up=1)
    return {name: timing.over(timings["infonce"]) for name, timing in timings.items()}


def _train_all(plans: list[Plan], workers: int) -> dict[Plan, dict[str, Reading]]:
    done = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for plan, readings in zip(plans, pool.map(train, plans), strict=True):
            done[plan] = readings
            said = ", ".join(f"{name} {reading.mean:.3g}" for name, reading in readings.items())
            print(f"{len(done)}/{len(plans)}  {plan.nats:g} nats, {plan.sample or 'fresh'}: {said}", flush=True)
    return done


def _groups(plans: list[Plan], done: dict[Plan, dict[str, Reading]]) -> Iterable[tuple[Plan, str, list[Reading]]]:
    """Yield, for each kind of training and each estimator that reads its critic, the readings over all seeds."""
    for plan in plans:
        if plan.seed == 0:
            alike = [other for other in plans if (other.name, other.nats) == (plan.name, plan.nats)]
            for name in done[plan]:
                yield plan, name, [done[other][name] for other in alike]


def _fresh_row(plan: Plan, name: str, readings: list[Reading], cost: dict[str, float]) -> dict[str, object]:
    means = [reading.mean for reading in readings]
    return {
        "estimator": name, "trained by": plan.name, "truth": plan.nats, "mean": statistics.fmean(means),
        "bias": statistics.fmean(means) - plan.nats, "spread": statistics.fmean(r.spread for r in readings),
        "lowest": min(means), "highest": max(means), "step / infonce": cost[plan.name], "note": _note(readings),
    }  # fmt: skip


def _summary(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return a row per estimator: its mean at every truth, its spread at the first and the last, its step time."""
    by_estimator: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        by_estimator.setdefault(row["estimator"], []).append(row)
    return [
        {"estimator": name, **{f"{row['truth']:g}": _or_diverged(row["mean"]) for row in own}}
        | {f"spread at {row['truth']:g}": row["spread"] for row in (own[0], own[-1])}
        | {"step": own[0]["step / infonce"]}
        for name, own in by_estimator.items()
    ]


def _or_diverged(mean: object) -> object:
    return mean if isinstance(mean, float) and math.isfinite(mean) else "diverged"


def _finite_row(plan: Plan, name: str, readings: list[Reading]) -> dict[str, object]:
    columns = {
        "training pairs": [reading.train for reading in readings],
        "fresh pairs": [reading.mean for reading in readings],
        "best fresh": [reading.best for reading in readings],
    }
    means = {column: statistics.fmean(v for v in values if v is not None) for column, values in columns.items()}
    return {"estimator": name, "trained by": plan.name, "truth": plan.nats} | means | {"note": _note(readings)}


def _note(readings: list[Reading]) -> str | None:
    stopped = [reading.stopped for reading in readings if reading.stopped is not None]
    if not stopped:
        return None
    steps = " and ".join(str(step) for step in stopped)
    return f"diverged: loss not finite at step {steps} ({len(stopped)} of {len(readings)} trainings)"
