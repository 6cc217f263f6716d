"""Reading the information off rows that no critic has seen, and how far chance may have moved it."""

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
    """What the test rows of all folds say."""

    nats: float
    """The estimate: the mean over folds, by their size."""
    standard_error: float
    """From blocks of test rows, which share no row."""
    fold_nats: list[float]
    """The estimate of each fold."""
    negatives: int
    """Marginal pairs for each joint one."""
    blocks: int
    """Blocks of test rows in all folds."""
    pointwise: Tensor
    """(n,), the score of each row by its fold's critic, nats."""


class Interval(NamedTuple):
    """A confidence interval in nats."""

    low: float
    high: float


class FoldCritic:
    """The one critic of a fold: fixed before a test row is seen.

    Args:
        stack: rows, starts and features.
        critic: the members, trained.
        fold: its number.
        train: rows that its candidates learnt from.
        validation: rows that weigh and bound it.
        rows: rows of the whole sample.
        groups: (rows,), rows that depend on each other, which are no marginal pairs; none when None.
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
        """Rows that its candidates learnt from."""
        met = self._blocks(validation, WIDE_BLOCK)
        tables = self._candidates.tables(*met)
        self.mixture = mix(tables, rows)
        self.weights = torch.zeros(2 + stack.kinds, dtype=torch.float64)
        """Of no critic, the start and each kind of network; 0 for one that learnt nothing."""
        self.weights[[0, 1, *(2 + kind for kind in self._candidates.kinds)]] = self.mixture.weights.double().cpu()
        size = met[1].shape[1]
        of_start, of_mixture = (scores.view(-1, size) for scores in (tables[1], self.mixture.scores(tables)))
        self.learnt = max(0.0, float(dv_of(of_mixture)) - max(0.0, float(dv_of(of_start))))
        """Nats that networks add to the start on the validation rows."""

    def scores(self, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        """Scores (n, K) of rows of x, (n,), each with rows of y, (n, K): near the log density ratio, nats."""
        return self.mixture.scores(self._candidates.tables(x_rows, y_rows, networks=self.mixture.networks))

    def joint_scores(self, rows: Tensor) -> Tensor:
        """Scores (n,) of joint pairs, nats."""
        return self.scores(rows, rows[:, None]).squeeze(1)

    def start_scores(self, rows: Tensor) -> Tensor:
        """Scores (n,) of joint pairs by the start alone, nats."""
        return self._candidates.tables(rows, rows[:, None], networks=False)[1].squeeze(1)

    def block_scores(self, rows: Tensor) -> Tensor:
        """Scores (blocks, size, size) of all pairs within at least four blocks of rows, the joint ones first."""
        x_rows, y_rows = self._blocks(rows, max(2, min(BLOCK, len(rows) // 4)))
        return self.scores(x_rows, y_rows).view(-1, y_rows.shape[1], y_rows.shape[1])

    def _blocks(self, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        blocks = in_blocks(rows, size) if self._groups is None else _apart(rows, self._groups[rows], size)
        return blocks.flatten(), blocks[:, all_pairs(blocks.shape[1], rows.device)].flatten(0, 1)


def _apart(rows: Tensor, groups: Tensor, size: int) -> Tensor:
    """Rows as (blocks, rows of a block), no two of a group in a block.

    Rows lie sorted by group, and a block takes every k-th, for k no smaller than the largest group. Fewer rows than
    there are blocks are left out, so that all blocks have one size. Where a group holds more than half of the rows,
    only as many of its rows count as there are rows of other groups; rows of a single group fill blocks as they are.
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
    first = slice(blocks * size)  # their order is random
    return rows[first][groups[first].argsort(stable=True)].view(size, blocks).T


def read(
    critics: list[FoldCritic], tests: list[Tensor], make: Callable[[], Estimator], groups: Tensor | None = None
) -> Reading:
    """Read the estimate off every fold's test rows, once.

    Args:
        critics: one a fold.
        tests: the test rows of each fold.
        make: makes the estimator whose estimate is reported.
        groups: (n,), rows that depend on each other: they widen the standard error.
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
    """By what the standard error of a mean of values (n,) grows where rows of a group depend on each other."""
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
    r"""Interval around an estimate, by Student's t over its blocks.

    Near 0 another rule holds. At the truth I, the best of all critics errs by :math:`\sqrt{2 I / n}` where I is small,
    so that no n rows tell less than :math:`2 z^2 / n` from 0, whatever the blocks say: a critic that found nothing
    varies not at all. The upper end is not below that, and an estimate below it is not told from 0.

    Args:
        nats: the estimate.
        standard_error: of the estimate.
        blocks: from which the standard error comes.
        confidence: in (0, 1).
        rows: n, or the number of groups where rows depend on each other; no more blocks than these count.

    Example:
        >>> interval_of(0.0, 0.0, 100, 0.95, 1000)
        Interval(low=0.0, high=0.0076...)
    """
    probability = torch.tensor(0.5 + confidence / 2, dtype=torch.float64)
    least = unseen(0, confidence, rows)
    away = float(student_quantile(probability, min(blocks, rows) - 1)) * standard_error
    return Interval(0.0 if nats < least else max(0.0, nats - away), max(nats + away, least))


def normal_quantile(confidence: float) -> float:
    """The standard errors from the middle to an end of a normal interval of this confidence."""
    return float(torch.special.ndtri(torch.tensor(0.5 + confidence / 2, dtype=torch.float64)))


def unseen(pairs: int, confidence: float, rows: int) -> float:
    r"""Return nats that rows may hide among so many pairs of coordinates, even where nothing is found.

    .. math:: 2 \, \frac{z^2 + z \sqrt{2 d}}{n}

    Under independence, 2 n times what canonical correlations find is about chi-squared with as many degrees of freedom
    as pairs d, so it varies by :math:`\sqrt{2 d}`; what is hidden is :math:`z \sqrt{2 d} / n`, taken twice because
    critics are chosen on a part of the rows.

    Args:
        pairs: d; 0 leaves what :func:`interval_of` says of any critic.
        confidence: in (0, 1); z is the normal quantile of that interval's upper end.
        rows: n.
    """
    z = normal_quantile(confidence)
    return 2 * (z**2 + z * math.sqrt(2 * pairs)) / rows
