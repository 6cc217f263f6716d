"""Information that adjacent rows prove without a critic, to notice what the critics missed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.input.sides import Side, independent_rows

__all__ = ["adjacent_nats"]

_SURE = 5.0  # standard errors that are subtracted; enough for some thousand pairs of columns
_MOST = 100_000_000  # differences computed, at most: rows x columns of x x columns of y
_ANCHORS, _POOL = 2000, 20_000  # rows whose nearest row is sought, and rows among which it is sought, at most
_COLUMNS = 10  # of a side, at most, for its nearest rows to be near
_TILE = 4_000_000  # distances held at a time


def adjacent_nats(x: Side, y: Side, generator: torch.Generator, groups: Tensor | None = None) -> float:
    r"""Return nats that the information exceeds almost surely, by the differences of adjacent rows; 0 for none.

    .. math:: I(X; Y) \ge E\,d(Y, Y') - E\,d(Y, Y'')

    Y and Y' are independent, and Y'' is drawn from the distribution of Y given the same X. For numbers, d is the
    difference of their ranks, scaled to [0, 1]; for labels it is 1 where they differ. The rows are sorted by one column
    of one side, and the next row takes the place of Y''. The rows are sorted by each column of both sides in turn. For
    a side of two to ten columns, the row that is nearest in all of them takes the place of Y'' as well. The largest
    result counts. It is at most 1/3 for numbers, so the check finds dependence that was read as nearly 0, such as waves
    with many periods, and says nothing on how strong it is.

    The bound follows from Pinsker's inequality: for B = 1(Y >= t) it gives :math:`I(X; Y) \ge 2 \operatorname{Var}
    P(B | X)`, and the mean over thresholds t is the formula above. For labels, :math:`KL(p \| q) \ge \|p - q\|_2^2`.

    Args:
        x: one of the two variables.
        y: the other one.
        generator: generator that orders rows with equal values.
        groups: (n,), group of each row, 0 to the number of groups minus 1; one row of each group counts. None for
            independent rows.

    Returns:
        nats; 0 also where sides have so many columns that the check would take seconds.

    Source:
        Chatterjee 2021, "A new coefficient of correlation", for the statistic; its coefficient is three times this one.
    """
    sides = [independent_rows(side, groups) for side in (x, y)]
    n = len(sides[0][0])
    if n * x.values.shape[1] * y.values.shape[1] > _MOST:
        return 0.0
    found = 0.0
    for (by, labels), (values, codes) in (sides, sides[::-1]):
        if labels is not None:  # labels have no order
            continue
        targets = _ranks(values) if codes is None else codes[:, None]
        random = _random_difference(targets)
        for column in by.unbind(1):
            shuffled = torch.randperm(n, generator=generator).to(by.device)
            order = shuffled[column[shuffled].argsort(stable=True)]
            found = max(found, _excess(_adjacent(targets[order]), random, n))
        if 2 <= by.shape[1] <= _COLUMNS:
            pool = torch.randperm(n, generator=generator)[:_POOL].to(by.device)
            anchors, nearest = _nearest(_ranks(by)[pool].float())
            of_pool = targets[pool]
            found = max(found, _excess(_differences(of_pool[anchors], of_pool[nearest]), random, len(anchors)))
    return found


def _nearest(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return some rows, and for each the nearest other row by the largest difference of a column, as indices."""
    n = len(rows)
    anchors = torch.arange(min(n, _ANCHORS), device=rows.device)
    found = []
    for some in torch.split(anchors, max(1, _TILE // n)):
        distance = torch.zeros(len(some), n, device=rows.device, dtype=rows.dtype)
        for column in rows.unbind(1):
            torch.maximum(distance, (column[some, None] - column).abs(), out=distance)
        distance[torch.arange(len(some)), some] = math.inf
        found.append(distance.argmin(1))
    return anchors, torch.cat(found)


def _ranks(values: Tensor) -> Tensor:
    """Return the share of rows that are at most each value, column by column: (n, d), in (0, 1]."""
    ordered = values.T.sort(1).values.contiguous()
    return (torch.searchsorted(ordered, values.T.contiguous(), right=True) / len(values)).T


def _random_difference(targets: Tensor) -> Tensor:
    """Return the mean difference of two different rows, over all pairs of rows: (d,) for ranks, () for labels."""
    n = len(targets)
    if targets.is_floating_point():
        times = 2 * torch.arange(n, device=targets.device) - n + 1  # how often a rank is the larger, less the smaller
        mean: Tensor = 2 * (times[:, None] * targets.sort(0).values).sum(0) / (n * (n - 1))
        return mean
    counts = targets[:, 0].bincount().double()
    return 1 - (counts * (counts - 1)).sum() / (n * (n - 1))


def _differences(one: Tensor, other: Tensor) -> Tensor:
    """Return the differences of ranks, or 1 where labels differ."""
    return (one - other).abs() if one.is_floating_point() else (one != other).double()


def _adjacent(ordered: Tensor) -> Tensor:
    return _differences(ordered[1:], ordered[:-1])


def _excess(differences: Tensor, random: Tensor, rows: int) -> float:
    """Return how much smaller the differences (n, d) of some rows are than those of random ones, less their error."""
    # Each row is in two differences or, as the nearest of others, in a few, so their variances add up to about twice.
    error = differences.std(0) * math.sqrt(2 / rows)
    return float((random - differences.mean(0) - _SURE * error).max())
