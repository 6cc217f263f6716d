"""A start that pairs coordinates of x with coordinates of y and adds up the log copula densities of the pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.closed_forms.rows import StartRows

__all__ = ["PairTables", "fit_tables", "looked_up", "no_tables"]

_BINS = 96
_WIDTHS = (0.3, 0.15, 0.08, 0.04, 0.02, 0.01)  # of the kernel, for places in (0, 1)
_SCREENED = 0.08  # kernel width with which coordinates are matched
_MOST_COMPARED = 1024  # pairs of coordinates
_MOST = 32  # tables


@dataclass(frozen=True)
class PairTables:
    r"""A critic of matched coordinates, :math:`T(x, y) = \sum_t \log c_t(x_{i(t)}, y_{j(t)})`.

    It is exact where the pairs of coordinates are independent of each other. Each copula density c is a histogram of
    ranks on the arcsine scale, smoothed by a Gaussian kernel that is reflected at the edges.

    Args:
        ranks: rank maps of the matched coordinates of x and of y, in the order of the tables.
        columns: (t,) for x and for y, the matched columns.
        tables: (t, bins, bins), log copula densities, nats.

    Source:
        Gijbels & Mielniczuk 1990, for the reflected kernel.
    """

    ranks: tuple[Ranks, Ranks]
    columns: tuple[Tensor, Tensor]
    tables: Tensor

    def rows(self, x: Tensor, y: Tensor) -> tuple[StartRows, StartRows]:
        """Return both sides in the form from which a start scores pairs."""
        count = len(self.tables)
        sides = []
        for ranks, columns, values in zip(self.ranks, self.columns, (x, y), strict=True):
            zero = values.new_zeros(len(values))
            places = _places(ranks, values[:, columns])[:, :count]
            sides.append(StartRows(zero, zero, values.new_zeros(len(values), 0), places))
        return sides[0], sides[1]

    def first(self, count: int) -> PairTables:
        """Return the critic with the first ``count`` tables only."""
        return replace(self, tables=self.tables[:count])


def no_tables(like: Tensor) -> Tensor:
    """Return the tables, (0, bins, bins), of a start that has none."""
    return like.new_zeros(0, _BINS, _BINS)


def looked_up(tables: Tensor, fold: int | Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the sum over tables of the entries for each pair of rows.

    Args:
        tables: (folds, t, bins, bins).
        fold: the fold whose tables are used; it broadcasts with the bins.
        x: (..., t), bins of rows of x.
        y: (..., t), bins of rows of y; x and y broadcast.
    """
    _, count, bins, _ = tables.shape
    table = fold * count + torch.arange(count, device=tables.device)
    total: Tensor = tables.flatten()[(table * bins + x) * bins + y].sum(-1)
    return total


def fit_tables(x: Tensor, y: Tensor, train: Tensor, validation: Tensor) -> PairTables | None:
    """Match coordinates of both sides, and fit a table to each match; return those that help, the best first.

    Coordinates are matched greedily, by the information in a histogram smoothed with one fixed kernel width. The
    validation rows then choose the kernel width of each table, and the tables that are kept. The result is None where
    no table helps, or where there are more than 1024 pairs of coordinates to compare.

    Args:
        x: (n, dx), all rows.
        y: (n, dy), all rows.
        train: training rows.
        validation: validation rows.
    """
    if x.shape[1] * y.shape[1] > _MOST_COMPARED:
        return None
    columns_x, columns_y = _matched(*(_places(Ranks(side[train]), side[train]) for side in (x, y)))
    x, y = x[:, columns_x], y[:, columns_y]
    ranks = Ranks(x[train]), Ranks(y[train])
    of_train, of_validation = (
        [_places(of, side[rows]).T for of, side in zip(ranks, (x, y), strict=True)] for rows in (train, validation)
    )
    counts = _histograms(*of_train)
    shares_x, shares_y = counts.sum(2), counts.sum(1)  # shares of the training rows in each bin, (t, bins)
    best, tables = counts.new_full((len(counts),), -torch.inf), torch.zeros_like(counts)
    which = torch.arange(len(counts), device=x.device)[:, None]
    for width in _WIDTHS:
        ratio = _ratio(counts, width)
        ratio = ratio / torch.einsum("tij,ti,tj->t", ratio, shares_x, shares_y)[:, None, None]
        # A cell that no kernel reached is rare, not impossible: its density stays above 0.
        rare = len(train) ** -0.5
        table = torch.log(rare + (1 - rare) * ratio)
        value = table[which, of_validation[0], of_validation[1]].mean(1)
        better = value > best
        best, tables = torch.where(better, value, best), torch.where(better[:, None, None], table, tables)
    order = best.argsort(descending=True)[: min(_MOST, int((best > 0).sum()))]
    if not len(order):
        return None
    return PairTables(
        (Ranks(x[train][:, order]), Ranks(y[train][:, order])), (columns_x[order], columns_y[order]), tables[order]
    )


def _matched(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Match the coordinates that share the most information, each used once; x (n, dx) and y (n, dy) hold bins."""
    shared = torch.stack([_information(_ratio(counts, _SCREENED), counts) for counts in _all_histograms(x, y)])
    pairs = []
    for _ in range(min(shared.shape)):
        at = int(shared.argmax())
        i, j = divmod(at, shared.shape[1])
        pairs.append((i, j))
        shared[i], shared[:, j] = -torch.inf, -torch.inf
    matched = torch.tensor(pairs, device=x.device)
    return matched[:, 0], matched[:, 1]


def _all_histograms(x: Tensor, y: Tensor) -> list[Tensor]:
    """Return, for each coordinate of x, its histograms (dy, bins, bins) with all coordinates of y."""
    of_y = y.T
    return [_histograms(of_x.expand_as(of_y), of_y) for of_x in x.T]


def _information(ratio: Tensor, counts: Tensor) -> Tensor:
    """Return the information in nats that each smoothed histogram holds."""
    shares = counts.sum(2, keepdim=True) * counts.sum(1, keepdim=True)
    return (shares * torch.xlogy(ratio, ratio)).sum((1, 2))


def _places(ranks: Ranks, values: Tensor) -> Tensor:
    r"""Return the bins of values (n, d), int64, by their places :math:`(2 / \pi) \arcsin \sqrt u`, u being the rank.

    Bins get finer towards both ends, because the largest values of both sides often come together.
    """
    share = ((ranks.flat(values) + 1) / 2).clamp(0, 1)
    return (share.sqrt().asin() * (2 * _BINS / math.pi)).long().clamp_(0, _BINS - 1)


def _histograms(x: Tensor, y: Tensor) -> Tensor:
    """Return histograms (t, bins, bins), as shares of the rows; x and y hold bins, each (t, n)."""
    count, rows = x.shape
    table = torch.arange(count, device=x.device)[:, None]
    places = (table * _BINS + x) * _BINS + y
    found = torch.bincount(places.flatten(), minlength=count * _BINS**2)
    return found.view(count, _BINS, _BINS).double() / rows


def _ratio(counts: Tensor, width: float) -> Tensor:
    """Return smoothed histograms (t, bins, bins), divided by the product of their margins."""
    smooth = _kernel(width).to(counts)
    joint = smooth.T @ counts @ smooth
    return joint / (joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)).clamp_min(1e-30)


def _kernel(width: float) -> Tensor:
    """Return the (bins, bins) matrix that spreads each bin by a Gaussian kernel, reflected at 0 and 1."""
    middle = (torch.arange(_BINS, dtype=torch.float64) + 0.5) / _BINS
    kernel = sum(
        (torch.exp(-0.5 * ((middle[:, None] - image) / width) ** 2) for image in (middle, -middle, 2 - middle)),
        torch.zeros(_BINS, _BINS, dtype=torch.float64),
    )
    return kernel / kernel.sum(1, keepdim=True)
