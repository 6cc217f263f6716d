"""Information that two columns of a side prove together, to notice an interaction that the critics missed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.input.sides import Side, independent_rows

__all__ = ["nats_together"]

_BINS = 4  # of a column of numbers; even, so that the sign of a symmetric column is a union of bins
_LABELS = 20  # labels of the other side, at most
_TARGETS = 20  # columns of the other side, at most
_ROWS_PER_CELL = 5  # of a table, at least, for the correction of its bias
_MOST = 2_000_000_000  # products computed for a target, at most
_SURE = 5.0  # standard errors that are subtracted; enough for some thousand pairs of columns


def nats_together(x: Side, y: Side, groups: Tensor | None = None) -> float:
    r"""Return nats that the information exceeds almost surely, by tables of two columns against the other side.

    .. math:: I(X; Y) \ge I(A_i, A_j; B) \approx \hat I - \frac{(a - 1)(b - 1)}{2 n} - 5 \, \mathrm{se}

    A and B are columns in four bins of equal frequency, or in their own values where they have at most four, and labels
    as they are. The plug-in estimate of a table with a and b occupied rows and columns is corrected for its bias. By
    the data-processing inequality the information of a table is at most the truth. All pairs of columns of each side
    are tried, and the largest result counts. So the check finds products and exclusive ors among many columns.

    Args:
        x: one of the two variables.
        y: the other one.
        groups: (n,), group of each row, 0 to the number of groups minus 1; one row of each group counts. None for
            independent rows.

    Returns:
        nats; 0 also where sides have so many columns or labels that the check would take seconds, and where
        rows are few.

    Source:
        Miller 1955 for the bias.
    """
    sides = [independent_rows(side, groups) for side in (x, y)]
    found = 0.0
    for (by, _), (values, codes) in (sides, sides[::-1]):
        n, columns = by.shape
        if columns < 2 or n * (_BINS * columns) ** 2 > _MOST:
            continue
        if values.shape[1] > _TARGETS if codes is None else int(codes.max()) >= _LABELS:
            continue
        targets = [_binned(column) for column in values.unbind(1)] if codes is None else [codes]
        binned = torch.stack([_binned(column) for column in by.unbind(1)], 1)
        found = max(found, *(_best_pair(binned, target) for target in targets))
    return found


def _binned(column: Tensor) -> Tensor:
    """Return the bin of each value, 0 to 3."""
    levels, codes = torch.unique(column, return_inverse=True)
    if len(levels) <= _BINS:
        found: Tensor = codes
        return found
    edges = column.double().quantile(torch.arange(1, _BINS, device=column.device, dtype=torch.float64) / _BINS)
    return torch.searchsorted(edges, column.double().contiguous())


def _best_pair(binned: Tensor, target: Tensor) -> float:
    """Return the nats that the best pair of columns (n, d) in bins shows of a target (n,), less bias and error."""
    n, d = binned.shape
    labels = torch.unique(target)
    if n < _ROWS_PER_CELL * _BINS**2 * len(labels):
        return 0.0
    cells = torch.nn.functional.one_hot(binned, _BINS).view(n, d * _BINS).float()
    counts = torch.stack([part.T @ part for part in (cells[target == label] for label in labels)])
    tables = counts.view(-1, d, _BINS, d, _BINS).permute(1, 3, 2, 4, 0).reshape(d, d, _BINS**2, -1).double() / n
    joint, of_pair, of_target = (_entropy(part) for part in (tables.flatten(2), tables.sum(3), tables.sum(2)))
    occupied = [(part > 0).sum(2) - 1 for part in (tables.sum(3), tables.sum(2))]
    corrected = of_pair + of_target - joint - occupied[0] * occupied[1] / (2 * n)
    i, j = divmod(int(corrected.argmax()), d)
    table = tables[i, j]
    ratio = (table / (table.sum(1, keepdim=True) * table.sum(0))).log().where(table > 0, 0.0)
    error = math.sqrt(float((table * ratio**2).sum() - (table * ratio).sum() ** 2) / n)
    return max(0.0, float(corrected[i, j]) - _SURE * error)


def _entropy(shares: Tensor) -> Tensor:
    entropies: Tensor = torch.special.entr(shares)
    return entropies.sum(-1)
