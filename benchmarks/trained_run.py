"""One training of a critic on Gaussian pairs, fresh or from a finite sample, and the estimates read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.staircase import gaussian_pairs
from benchmarks.trained_critics import RATE, TRAINED, Pairs

__all__ = ["Plan", "Reading", "fresh_batch", "train"]

LOOKS = 20


@dataclass(frozen=True)
class Plan:
    """The settings of one training.

    Args:
        name: key of ``TRAINED``.
        nats: mutual information of the pairs.
        seed: seed of the initial weights and of the pairs.
        steps: optimiser steps.
        batch: pairs per step.
        reads: fresh batches to evaluate on.
        sample: size of a finite sample; None draws fresh pairs in every step.
    """

    name: str
    nats: float
    seed: int
    steps: int
    batch: int
    reads: int
    sample: int | None = None


@dataclass(frozen=True)
class Reading:
    """The estimates of one reader on one trained critic.

    Args:
        mean: mean over fresh batches.
        spread: standard deviation over fresh batches.
        train: mean over the batches of the finite sample; None without a finite sample.
        best: highest mean over fresh batches during and after training on a finite sample; None without one.
        stopped: step whose loss was not finite, or None; the critic is then evaluated as it was before that step.
    """

    mean: float
    spread: float
    train: float | None
    best: float | None
    stopped: int | None


def train(plan: Plan) -> dict[str, Reading]:
    """Train as planned and evaluate; all critics of the same seed and task are trained on the same pairs."""
    torch.set_num_threads(1)  # steps are small: two trainings in parallel are faster than one on two threads
    torch.manual_seed(plan.seed)
    drawn = torch.Generator().manual_seed(plan.seed)
    kept = torch.Generator().manual_seed(10_000 + plan.seed)
    fresh = [fresh_batch(plan.nats, plan.batch, kept) for _ in range(plan.reads)]
    sample = None if plan.sample is None else fresh_batch(plan.nats, plan.sample, drawn)
    trained = TRAINED[plan.name]()
    looks: list[dict[str, Tensor]] = []
    stopped = None
    for step, pairs in zip(range(plan.steps), _batches(plan, sample, drawn), strict=False):
        if not trained.step(*pairs, rate=RATE * (1 - step / plan.steps)):
            stopped = step
            break
        if sample is not None and (step + 1) % max(1, plan.steps // LOOKS) == 0:
            looks.append(trained.read(fresh[:LOOKS]))
    at_end = trained.read(fresh)
    looks.append(at_end)
    at_training = None if sample is None else trained.read(whole_batches(sample, plan.batch))
    return {
        name: Reading(
            mean=float(values.mean()),
            spread=float(values.std()),
            train=None if at_training is None else float(at_training[name].mean()),
            best=None if sample is None else max(float(look[name].mean()) for look in looks),
            stopped=stopped,
        )
        for name, values in at_end.items()
    }


def whole_batches(pairs: Pairs, size: int) -> Iterator[Pairs]:
    """Split pairs into batches of equal size; a smaller last batch is dropped, since it has fewer negatives."""
    parts = (side[: len(side) // size * size].split(size) for side in pairs)
    return zip(*parts, strict=True)


def fresh_batch(nats: float, rows: int, generator: torch.Generator) -> Pairs:
    """Draw pairs in float32, the dtype of the critics."""
    x, y = gaussian_pairs(nats, rows, generator)
    return x.float(), y.float()


def _batches(plan: Plan, sample: Pairs | None, generator: torch.Generator) -> Iterator[Pairs]:
    """Yield batches without end: fresh pairs, or epochs of the sample in new order, without an incomplete batch."""
    while True:
        if sample is None:
            yield fresh_batch(plan.nats, plan.batch, generator)
            continue
        order = torch.randperm(len(sample[0]), generator=generator)
        for chosen in order[: len(order) // plan.batch * plan.batch].split(plan.batch):
            yield sample[0][chosen], sample[1][chosen]
