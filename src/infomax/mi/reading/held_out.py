"""The bound, read on rows that the critics have not seen, with its standard error and its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.estimators import Estimator
from infomax.mi.closed_forms.student import student_quantile
from infomax.mi.input.blocks import BLOCK, WIDE_BLOCK, all_pairs, dv_of, in_blocks
from infomax.mi.networks.candidates import Candidates
from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack
from infomax.mi.reading.mixing import mix
from infomax.scores import paired_scores

__all__ = ["FoldCritic", "Interval", "Reading", "clustering", "interval_of", "read", "unseen"]


class Reading(NamedTuple):
    """The bound as read on the test rows of all folds."""

    nats: float
    """The mean over folds, weighted by their numbers of test rows."""
    standard_error: float
    """Standard error of ``nats``, from blocks of test rows that share no row."""
    fold_nats: list[float]
    """The estimate of each fold."""
    negatives: int
    """Marginal pairs per joint pair, in the fold with the fewest."""
    blocks: int
    """Number of blocks of test rows in all folds."""
    pointwise: Tensor
    """(n,), nats, the score of each row by the critic of the fold that tests it."""


class Interval(NamedTuple):
    """A confidence interval in nats."""

    low: float
    high: float


class FoldCritic:
    """The critic of one fold, fixed before any test row is scored.

    Args:
        stack: rows, starts and features.
        critic: the trained members.
        fold: number of the fold.
        train: rows on which the candidates were trained.
        validation: rows that set the weights of the candidates and the limits of the scores.
        rows: number of rows of the whole sample.
        groups: (rows,), group of each row; rows of a group form no marginal pairs. None for independent rows.
    """

    def __init__(
        self,
        stack: Stack,
        critic: StackedCritic,
        fold: int,
        train: Tensor,
        validation: Tensor,
        rows: int,
        groups: Tensor | None = None,
    ) -> None:
        self._candidates = Candidates(stack, critic, fold)
        self._groups = groups
        self.train = train
        """Rows on which the candidates were trained."""
        met = self._blocks(validation, WIDE_BLOCK)
        tables = self._candidates.tables(*met)
        self.mixture = mix(tables, rows)
        self.weights = torch.zeros(2 + stack.kinds, dtype=torch.float64)
        """Weights of a constant critic, the start and each kind of network; 0 for a network that learnt nothing."""
        self.weights[[0, 1, *(2 + kind for kind in self._candidates.kinds)]] = self.mixture.weights.double().cpu()
        size = met[1].shape[1]
        of_start, of_mixture = (scores.view(-1, size) for scores in (tables[1], self.mixture.scores(tables)))
        self.learnt = max(0.0, float(dv_of(of_mixture)) - max(0.0, float(dv_of(of_start))))
        """Nats that the mixture adds to the start on the validation rows, not below 0."""

    def scores(self, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        """Score rows of x (n,), each paired with rows of y (n, K): (n, K), nats, near the log density ratio."""
        return self.mixture.scores(self._candidates.tables(x_rows, y_rows, networks=self.mixture.networks))

    def joint_scores(self, rows: Tensor) -> Tensor:
        """Score joint pairs: (n,), nats."""
        return self.scores(rows, rows[:, None]).squeeze(1)

    def start_scores(self, rows: Tensor) -> Tensor:
        """Score joint pairs by the start alone: (n,), nats."""
        return self._candidates.tables(rows, rows[:, None], networks=False)[1].squeeze(1)

    def block_scores(self, rows: Tensor) -> Tensor:
        """Score all pairs within blocks, at least four if possible: (blocks, size, size), column 0 the joint pairs."""
        x_rows, y_rows = self._blocks(rows, max(2, min(BLOCK, len(rows) // 4)))
        return self.scores(x_rows, y_rows).view(-1, y_rows.shape[1], y_rows.shape[1])

    def _blocks(self, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        blocks = in_blocks(rows, size) if self._groups is None else _apart(rows, self._groups[rows], size)
        return blocks.flatten(), blocks[:, all_pairs(blocks.shape[1], rows.device)].flatten(0, 1)


def _apart(rows: Tensor, groups: Tensor, size: int) -> Tensor:
    """Arrange rows in blocks (blocks, rows per block), so that no block holds two rows of one group.

    Rows are sorted by group, and each of k blocks takes every k-th row, where k is at least the size of the largest
    group. Fewer than k rows are left out, so that all blocks have one size. Where one group holds more than half of the
    rows, only as many of its rows are used as the other groups have. Where all rows are of one group, the group is
    ignored.
    """
    counts = torch.bincount(groups)
    others = len(rows) - int(counts.max())
    if others == 0:
        return in_blocks(rows, size)
    if 2 * others < len(rows):
        largest = (groups == counts.argmax()).nonzero().squeeze(1)
        kept = torch.ones(len(rows), dtype=torch.bool, device=rows.device).index_fill(0, largest[others:], False)
        rows, groups = rows[kept], groups[kept]
    blocks = max(len(rows) // size, int(torch.bincount(groups).max()))
    size = len(rows) // blocks
    first = slice(blocks * size)  # the rows are in random order, so any of them may be left out
    return rows[first][groups[first].argsort(stable=True)].view(size, blocks).T


def read(
    critics: list[FoldCritic], tests: list[Tensor], make: Callable[[], Estimator], groups: Tensor | None = None
) -> Reading:
    """Read the estimate on the test rows of every fold.

    Args:
        critics: the critic of each fold.
        tests: the test rows of each fold.
        make: makes the estimator whose estimate is reported.
        groups: (n,), group of each row; dependence within groups raises the standard error. None without groups.
    """
    values, block_values, sizes, negatives = [], [], [], []
    pointwise = torch.zeros(sum(map(len, tests)), dtype=torch.float64, device=tests[0].device)
    for critic, test in zip(critics, tests, strict=True):
        blocks = critic.block_scores(test)
        values.append(_estimate(make(), blocks.flatten(0, 1)))
        block_values += [_estimate(make(), block) for block in blocks]
        sizes.append(len(test))
        negatives.append(blocks.shape[-1] - 1)
        pointwise[test] = critic.joint_scores(test)
    nats = sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
    deviation = float(torch.tensor(block_values, dtype=torch.float64).std())
    error = deviation / math.sqrt(len(block_values)) * clustering(pointwise, groups)
    return Reading(nats, error, values, min(negatives), len(block_values), pointwise)


def clustering(values: Tensor, groups: Tensor | None) -> float:
    """Return the factor by which dependence within groups raises the standard error of a mean of values (n,)."""
    if groups is None:
        return 1.0
    centred = values - values.mean()
    sums = torch.zeros(int(groups.max()) + 1, dtype=values.dtype, device=values.device).index_add(0, groups, centred)
    alone = float(centred.square().sum())
    return max(1.0, math.sqrt(float(sums.square().sum()) / alone)) if alone > 0 else 1.0


def _estimate(estimator: Estimator, scores: Tensor) -> float:
    pairs = paired_scores(scores[:, 0], scores[:, 1:])
    return float(estimator.mutual_information(estimator.optimal_scores(pairs)))


def interval_of(nats: float, standard_error: float, blocks: int, confidence: float, rows: int) -> Interval:
    r"""Return an interval around an estimate, from Student's t with one degree of freedom less than there are blocks.

    Near 0, blocks alone would give intervals that are too narrow, because a critic that found nothing does not vary.
    For a small true information I, even the optimal critic has a standard error of :math:`\sqrt{2 I / n}`. So n rows
    cannot tell less than :math:`2 z^2 / n` apart from 0. The upper end is never below this value, and an estimate below
    it has a lower end of 0.

    Args:
        nats: the estimate.
        standard_error: standard error of the estimate.
        blocks: number of blocks that the standard error comes from.
        confidence: confidence level, in (0, 1).
        rows: number of rows n, or of groups where rows depend on each other; it also limits the degrees of freedom.

    Example:
        >>> interval_of(0.0, 0.0, 100, 0.95, 1000)
        Interval(low=0.0, high=0.0076...)
    """
    probability = torch.tensor(0.5 + confidence / 2, dtype=torch.float64)
    least = unseen(0, confidence, rows)
    away = float(student_quantile(probability, min(blocks, rows) - 1)) * standard_error
    return Interval(0.0 if nats < least else max(0.0, nats - away), max(nats + away, least))


def normal_quantile(confidence: float) -> float:
    """Return the distance of either end of a normal interval from its middle, in standard errors."""
    return float(torch.special.ndtri(torch.tensor(0.5 + confidence / 2, dtype=torch.float64)))


def unseen(pairs: int, confidence: float, rows: int) -> float:
    r"""Return the nats that may stay unnoticed among pairs of coordinates, even where nothing is found.

    .. math:: 2 \, \frac{z^2 + z \sqrt{2 d}}{n}

    Let d be the number of pairs. Under independence, 2 n times the information that canonical correlations find is
    about chi-squared with d degrees of freedom, so its standard deviation is :math:`\sqrt{2 d}`. This variation can
    hide :math:`z \sqrt{2 d} / n` nats. The formula takes twice this amount, because critics are chosen on a part of the
    rows.

    Args:
        pairs: number of pairs d; 0 gives the limit that :func:`interval_of` uses for any critic.
        confidence: confidence level, in (0, 1); z is the normal quantile of that interval's upper end.
        rows: number of rows n.
    """
    z = normal_quantile(confidence)
    return 2 * (z**2 + z * math.sqrt(2 * pairs)) / rows
