"""Training of all members at once; each ends with the weights that were best on its validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infomax.estimators import Estimator
from infomax.mi.input.blocks import dv_of, some_pairs
from infomax.mi.input.folds import Fold
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack
from infomax.scores import paired_scores

__all__ = ["Curve", "train"]

_BATCH_SIZE = 256  # joint pairs per step and member
_NEGATIVES = 4  # marginal pairs per joint pair
_LR = 2e-3  # after the warm-up; it falls to 0 along a cosine
_CHECKS = 28  # evaluations on the validation rows
_VALIDATION_PAIRS = 16  # marginal pairs per validation row
_WARM_UP = 50
_PATIENCE = 8  # evaluations without progress before training ends early
_LEAST_STEPS = 200  # and the least number of steps that these take
_WORTH = 0.001  # nats by which the mean over folds must rise to count as progress


@dataclass
class Curve:
    """The training curve: Donsker-Varadhan values on validation rows, nats, the mean over folds of the best kind."""

    steps: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


def train(
    stack: Stack,
    critic: StackedCritic,
    folds: list[Fold],
    objective: Callable[[], Estimator],
    steps: int,
    *,
    generator: torch.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Curve:
    """Train in place; every member ends with the weights that were best on its own validation rows.

    The initial weights are among the candidates, so a member that learns nothing remains the start.

    Args:
        stack: the members, and the scores of their starts.
        critic: the networks of all members.
        folds: training and validation rows of each fold.
        objective: makes the estimator whose loss a member minimises. Each member has its own estimator, because an
            estimator may hold state. Members' scores are log density ratios; before the loss they are turned into the
            scores of the estimator's optimal critic.
        steps: largest number of steps of Adam.
        generator: generator of the batches.
        progress: called after each evaluation with the steps done and ``steps``.
    """
    train_rows = torch.stack([fold.train for fold in folds])[stack.fold]
    validation = _Validation(stack, critic, folds, generator)
    estimators = [objective() for _ in range(stack.members)]
    optimizer = torch.optim.Adam(critic.parameters(), lr=_LR, fused=train_rows.device.type in ("cpu", "cuda"))
    batches = _batches(train_rows, min(_BATCH_SIZE, train_rows.shape[1]), generator)
    interval = max(1, steps // _CHECKS)
    curve = Curve([0], [validation.value])
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _LR * _rate(step, steps)
        rows = next(batches)
        scores = stack.scores(critic, rows, _drawn(rows.shape[1], _NEGATIVES, generator, rows.device))
        losses = [
            estimator(estimator.optimal_scores(paired_scores(member[:, 0], member[:, 1:])))
            for estimator, member in zip(estimators, scores, strict=True)
        ]
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses).sum())
        optimizer.step()
        if (step + 1) % interval == 0 or step + 1 == steps:
            validation.evaluate()
            curve.steps.append(step + 1)
            curve.validation.append(validation.value)
            if progress is not None:
                progress(step + 1, steps)
            if validation.evaluations_without_progress >= max(_PATIENCE, _LEAST_STEPS // interval):
                break
    validation.restore()
    return curve


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / min(_WARM_UP, 1 + steps // 10)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _batches(rows: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches (M, size), in a new random order per pass; each pass leaves out fewer rows than a batch has."""
    members, n = rows.shape
    while True:
        order = torch.stack([torch.randperm(n, generator=generator) for _ in range(members)]).to(rows.device)
        for start in range(0, n - size + 1, size):
            yield rows.gather(1, order[:, start : start + size])


def _drawn(size: int, negatives: int, generator: torch.Generator, device: torch.device) -> Tensor:
    shifts = 1 + torch.randperm(size - 1, generator=generator)[:negatives]
    return some_pairs(size, torch.cat([shifts.new_zeros(1), shifts]).to(device))


class _Validation:
    """The value of every member on its validation rows, and the weights at which the value was highest."""

    def __init__(self, stack: Stack, critic: StackedCritic, folds: list[Fold], generator: torch.Generator) -> None:
        self._stack, self._critic = stack, critic
        self._rows = torch.stack([fold.validation for fold in folds])[stack.fold]
        self._partner = _drawn(self._rows.shape[1], _VALIDATION_PAIRS, generator, self._rows.device)
        self._start = stack.start_scores(self._rows, self._partner)
        self._best = self._now = dv_of(self._start)
        self._reached = self._mean(self._best)
        self._weights = [parameter.detach().clone() for parameter in critic.parameters()]
        self.evaluations_without_progress = 0

    @property
    def value(self) -> float:
        """Mean over folds of the current value of the better kind, nats."""
        return self._mean(self._now)

    def _mean(self, values: Tensor) -> float:
        return float(values.view(self._stack.kinds, -1).amax(0).mean())

    @torch.no_grad()
    def evaluate(self) -> None:
        """Evaluate all members, and keep the weights of those that reach a new best value."""
        now = dv_of(self._stack.scores(self._critic, self._rows, self._partner, self._start))
        self._now = torch.where(now.isfinite(), now, self._best)  # a value that overflowed is no progress
        better = self._now > self._best
        self._best = torch.where(better, self._now, self._best)
        for kept, parameter in zip(self._weights, self._critic.parameters(), strict=True):
            kept[better] = parameter[better]
        reached = self._mean(self._best)
        worth = reached > self._reached + _WORTH
        self._reached = reached if worth else self._reached
        self.evaluations_without_progress = 0 if worth else self.evaluations_without_progress + 1

    @torch.no_grad()
    def restore(self) -> None:
        """Give every member its best weights."""
        for kept, parameter in zip(self._weights, self._critic.parameters(), strict=True):
            parameter.copy_(kept)
