"""Reading the information off rows that no critic has seen, and how far chance may have moved it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.estimators import Estimator
from infomax.mi.closed_forms.student import student_quantile
from infomax.mi.input.blocks import BLOCK, all_pairs, in_blocks
from infomax.mi.input.folds import Fold
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack
from infomax.mi.reading.mixing import Mixture, mix
from infomax.scores import paired_scores

__all__ = ["Interval", "Reading", "interval_of", "read"]


class Reading(NamedTuple):
    """What the test rows of all folds say."""

    nats: float
    """The estimate: the mean over folds, by their size."""
    standard_error: float
    """From blocks of test rows, which share no row."""
    fold_nats: list[float]
    """The estimate of each fold."""
    mixtures: list[Mixture]
    """The critic of each fold."""
    negatives: int
    """Marginal pairs for each joint one."""
    blocks: int
    """Blocks of test rows in all folds."""


class Interval(NamedTuple):
    """A confidence interval in nats."""

    low: float
    high: float


@torch.no_grad()
def read(stack: Stack, critic: StackedCritic, folds: list[Fold], make: Callable[[], Estimator]) -> Reading:
    """Choose each fold's critic on its validation rows, and read the estimate off its test rows, once.

    Args:
        stack: rows, starts and features.
        critic: the members, trained.
        folds: the parts.
        make: makes the estimator whose estimate is reported.
    """
    mixtures = [mix(tables) for tables in _tables(stack, critic, [fold.validation for fold in folds])]
    values, block_values, sizes = [], [], []
    for tables, mixture, fold in zip(
        _tables(stack, critic, [fold.test for fold in folds]), mixtures, folds, strict=True
    ):
        blocks = mixture.scores(tables.double())
        values.append(_estimate(make(), blocks.flatten(0, 1)))
        block_values += [_estimate(make(), block) for block in blocks]
        sizes.append(len(fold.test))
    nats = sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
    deviation = float(torch.tensor(block_values, dtype=torch.float64).std())
    error = deviation / math.sqrt(len(block_values))
    return Reading(nats, error, values, mixtures, blocks.shape[-1] - 1, len(block_values))


def _estimate(estimator: Estimator, scores: Tensor) -> float:
    pairs = paired_scores(scores[:, 0], scores[:, 1:])
    return float(estimator.mutual_information(estimator.optimal_scores(pairs)))


def _tables(stack: Stack, critic: StackedCritic, parts: list[Tensor]) -> Tensor:
    """Scores of each fold's candidates, (F, C, blocks, size, size): nothing, the start, each kind of network."""
    rows = min(len(part) for part in parts)
    size = _block_size(rows)
    blocks = torch.stack([in_blocks(part[:rows], size) for part in parts])
    partner = all_pairs(size, blocks.device)
    tables = []
    for k in range(blocks.shape[1]):
        chosen = blocks[stack.fold, k]
        start = stack.start_scores(chosen, partner)
        trained = stack.scores(critic, chosen, partner, start).view(stack.kinds, stack.folds, size, size)
        first = start[: stack.folds].unsqueeze(0)
        tables.append(torch.cat([torch.zeros_like(first), first, trained]))
    return torch.stack(tables, 2).transpose(0, 1)


def _block_size(rows: int) -> int:
    """At least four blocks a fold, so that there are some to compare."""
    return max(2, min(BLOCK, rows // 4))


def interval_of(nats: float, standard_error: float, blocks: int, confidence: float, rows: int) -> Interval:
    r"""Interval around an estimate, by Student's t over its blocks.

    Near 0 another rule holds. At the truth I, the best of all critics errs by :math:`\sqrt{2 I / n}` where I is small,
    so that no n rows tell less than :math:`2 z^2 / n` from 0, whatever the blocks say: a critic that found nothing
    varies not at all. The upper end is not below that, and an estimate below it is not told from 0.

    Args:
        nats: the estimate.
        standard_error: of the estimate.
        blocks: from which the standard error comes.
        confidence: in (0, 1).
        rows: n.

    Example:
        >>> interval_of(0.0, 0.0, 100, 0.95, 1000)
        Interval(low=0.0, high=0.0076...)
    """
    probability = torch.tensor(0.5 + confidence / 2, dtype=torch.float64)
    least = 2 * float(torch.special.ndtri(probability)) ** 2 / rows
    away = float(student_quantile(probability, blocks - 1)) * standard_error
    return Interval(0.0 if nats < least else max(0.0, nats - away), max(nats + away, least))
