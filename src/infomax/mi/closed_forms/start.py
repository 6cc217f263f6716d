"""The choice, on validation rows, of the closed-form critic that training starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from infomax.mi.closed_forms.canonical import Canonical
from infomax.mi.closed_forms.coordinates import Coordinates
from infomax.mi.closed_forms.elliptical import (
    DOFS,
    elliptical_offset,
    elliptical_rows,
    elliptical_score,
)
from infomax.mi.closed_forms.labels import LabelHead, fit_head
from infomax.mi.closed_forms.lift import LIFTS, Lift
from infomax.mi.closed_forms.marginals import Marginals, Standardised
from infomax.mi.closed_forms.rows import StartRows
from infomax.mi.closed_forms.tables import PairTables, fit_tables, looked_up, no_tables
from infomax.mi.input.blocks import WIDE_BLOCK, all_pairs, dv_of, in_blocks
from infomax.mi.input.folds import Fold

__all__ = ["LEADING", "Start", "choose_start", "no_start"]

LEADING = 4
"""Number of leading canonical coordinates that are kept for the narrow kind of network."""

_RANKS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_MOST = 128
_WORTH_OF_SCALE = 0.1  # nats by which standardised coordinates must beat ranks, which do not depend on their scale
_WORTH_OF_TABLES = 0.02  # nats by which tables must beat the best start without tables


@dataclass(frozen=True)
class Start:
    """A closed-form critic: an elliptical copula of coordinates or of functions of them, or a ``head`` in its place.

    Attributes:
        name: name in reports.
        dof: degrees of freedom, infinite for a Gaussian.
        correlation: (r,), canonical correlations that the score uses.
        see_x: map from rows of x to at least r canonical coordinates.
        see_y: likewise for y.
        head: a critic that replaces the elliptical copula; None for an elliptical copula.
        nats: Donsker-Varadhan value on the validation rows.
        parts: (rows compared,), contribution of each validation row to ``nats``, up to a constant.
    """

    name: str
    dof: float
    correlation: Tensor
    see_x: Coordinates
    see_y: Coordinates
    head: LabelHead | PairTables | None = None
    nats: float = 0.0
    parts: Tensor = field(default_factory=lambda: torch.zeros(2))

    @property
    def dims(self) -> tuple[int, int]:
        """Numbers of canonical coordinates of x and of y; only a Student-t copula uses them."""
        return self.see_x.to.shape[1], self.see_y.to.shape[1]

    @property
    def offset(self) -> float:
        """Log of the normalising constant of the elliptical copula."""
        return elliptical_offset(self.correlation, self.dof, self.dims)

    @property
    def tables(self) -> Tensor:
        """Tables of scores (t, bins, bins), whose entries are added up; t is 0 for a start without tables."""
        return self.head.tables if isinstance(self.head, PairTables) else no_tables(self.correlation)

    def of(self, x: Tensor, y: Tensor) -> tuple[StartRows, StartRows]:
        """Return rows of both sides in the form that the score reads."""
        return self.rows(self.see_x(x), self.see_y(y)) if self.head is None else self.head.rows(x, y)

    def rows(self, white_x: Tensor, white_y: Tensor) -> tuple[StartRows, StartRows]:
        """Return canonical coordinates of both sides in the form that the score reads.

        Coordinates without a kept correlation do not enter the Gaussian score, so they are left out.
        """
        kept = len(self.correlation) if math.isinf(self.dof) else None
        return (
            elliptical_rows(white_x[:, :kept], self.correlation, weigh=True),
            elliptical_rows(white_y[:, :kept], self.correlation, weigh=False),
        )


def choose_start(
    x: Tensor, y: Tensor, marginals: tuple[Marginals, Marginals], fold: Fold, labels: tuple[bool, bool] = (False, False)
) -> Start:
    """Return the simplest start whose value on the validation rows is within a standard error of the best.

    The candidates are Gaussian and Student-t copulas of the coordinates, and Gaussian copulas of the dictionaries of
    :class:`Lift`. The validation rows choose how many canonical pairs each candidate uses. Two more candidates replace
    the chosen one only if they are better by more than a standard error and by a fixed amount: a Gaussian of
    standardised coordinates by 0.1 nats, and then :class:`PairTables` by 0.02 nats.

    Args:
        x: (n, dx), all rows; the choice uses only the training and validation rows of the fold.
        y: (n, dy), likewise.
        marginals: the maps of single coordinates of x and of y, learnt on the training rows.
        fold: the training, validation and test rows.
        labels: whether x and y consist of labels only; if one of them does, a softmax regression is a candidate, too.
    """
    of_x, of_y = marginals
    plain = Canonical(of_x.scores(x[fold.train]), of_y.scores(y[fold.train]))
    zero_x, zero_y = plain.to_x.new_zeros(len(plain.to_x)), plain.to_y.new_zeros(len(plain.to_y))
    elliptical = []
    for dof in reversed(DOFS):
        see = Coordinates(of_x, dof, zero_x, plain.to_x), Coordinates(of_y, dof, zero_y, plain.to_y)
        kind = "Gaussian copula" if math.isinf(dof) else f"Student-t copula ({dof:g} degrees of freedom)"
        elliptical.append(_best_rank(kind, dof, plain.correlation, see, (x, y), fold.validation))
    gaussian, *heavy = elliptical
    # No number of degrees of freedom is simpler than another, so the best of them is taken.
    found = [gaussian, max(heavy, key=lambda start: start.nats)]
    for kind in LIFTS:
        lift_x, lift_y = (Lift(kind, side, values[fold.train]) for side, values in zip(marginals, (x, y), strict=True))
        lifted = Canonical(lift_x(x[fold.train]), lift_y(y[fold.train]))
        see = (
            Coordinates(of_x, math.inf, lifted.mean_x, lifted.to_x, lift_x),
            Coordinates(of_y, math.inf, lifted.mean_y, lifted.to_y, lift_y),
        )
        name = f"Gaussian copula of {kind} functions"
        found.append(_best_rank(name, math.inf, lifted.correlation, see, (x, y), fold.validation))
    if any(labels):
        found.append(_of_labels(x, y, marginals, fold, gaussian, of_y=labels[1]))
    chosen = _simplest_of_the_best(found)
    for other, worth in (*_of_standardised(x, y, fold), *_of_pairs(x, y, fold, gaussian)):
        if other.nats - chosen.nats > max(worth, _doubt(other, chosen)):
            chosen = other
    return chosen


def no_start(
    x: Tensor, y: Tensor, marginals: tuple[Marginals, Marginals], fold: Fold, labels: tuple[bool, bool] = (False, False)
) -> Start:
    """Return the start that scores every pair 0; networks still use its canonical coordinates."""
    del labels
    of_x, of_y = (side.scores(values) for side, values in zip(marginals, (x, y), strict=True))
    plain = Canonical(of_x[fold.train], of_y[fold.train])
    see_x = Coordinates(marginals[0], math.inf, plain.mean_x, plain.to_x)
    see_y = Coordinates(marginals[1], math.inf, plain.mean_y, plain.to_y)
    return Start("none", math.inf, plain.correlation[:0], see_x, see_y)


def _simplest_of_the_best(starts: list[Start]) -> Start:
    """Return the first start within a standard error of the best, so that few validation rows choose a simple one."""
    best = max(starts, key=lambda start: start.nats)
    return next(start for start in starts if start is best or best.nats - start.nats <= _doubt(best, start))


def _doubt(one: Start, other: Start) -> float:
    """Return the standard error of the difference between the values of two starts."""
    return float((one.parts - other.parts).std()) / math.sqrt(len(one.parts))


def _best_rank(
    name: str,
    dof: float,
    correlation: Tensor,
    see: tuple[Coordinates, Coordinates],
    values: tuple[Tensor, Tensor],
    rows: Tensor,
) -> Start:
    """Return the start with as many canonical pairs as the validation rows choose, without unused coordinates."""
    blocks = _compared(rows)
    white = see[0](values[0][blocks.flatten()]), see[1](values[1][blocks.flatten()])
    present = min(int((correlation > 0).sum()), _MOST)
    starts = []
    for rank in sorted({rank for rank in (*_RANKS, present) if rank <= present}):
        start = Start(name, dof, correlation[:rank], *see)
        nats, parts = _value(start, start.rows(*white), len(blocks))
        starts.append(replace(start, nats=nats, parts=parts))
    best = _simplest_of_the_best(starts)
    kept = max(LEADING, len(best.correlation)) if math.isinf(dof) else None
    return replace(best, see_x=see[0].first(kept), see_y=see[1].first(kept))


def _of_pairs(x: Tensor, y: Tensor, fold: Fold, plain: Start) -> list[tuple[Start, float]]:
    """Return the sum of pair tables and the nats by which it must beat another start; nothing if no table helps.

    The validation rows choose the number of tables. The canonical coordinates are those of ``plain``. Where a side has
    a single coordinate, tables are not used: networks learn a single pair of coordinates fully, and the steps of a
    table would hinder them.
    """
    if min(x.shape[1], y.shape[1]) == 1:
        return []
    tables = fit_tables(x, y, fold.train, fold.validation)
    if tables is None:
        return []
    blocks = _compared(fold.validation)
    values = x[blocks.flatten()], y[blocks.flatten()]
    starts = []
    for count in sorted({*(rank for rank in _RANKS if 0 < rank < len(tables.tables)), len(tables.tables)}):
        head = tables.first(count)
        start = Start("coordinates in pairs", math.inf, plain.correlation[:0], plain.see_x, plain.see_y, head)
        nats, parts = _value(start, start.of(*values), len(blocks))
        starts.append(replace(start, nats=nats, parts=parts))
    return [(_simplest_of_the_best(starts), _WORTH_OF_TABLES)]


def _of_standardised(x: Tensor, y: Tensor, fold: Fold) -> list[tuple[Start, float]]:
    """Return the Gaussian of standardised coordinates and the nats by which it must beat another start.

    The rank of a coordinate has an error of about 1 / sqrt(n), so a sum of several ranks hides noise below this error.
    A sum of the coordinates themselves has no such error. But an increasing function of a coordinate changes this
    start, whereas it leaves ranks as they are.
    """
    of_x, of_y = (Standardised(values[fold.train]) for values in (x, y))
    plain = Canonical(of_x.scores(x[fold.train]), of_y.scores(y[fold.train]))
    see = Coordinates(of_x, math.inf, plain.mean_x, plain.to_x), Coordinates(of_y, math.inf, plain.mean_y, plain.to_y)
    name = "Gaussian of standardised coordinates"
    return [(_best_rank(name, math.inf, plain.correlation, see, (x, y), fold.validation), _WORTH_OF_SCALE)]


def _of_labels(
    x: Tensor, y: Tensor, marginals: tuple[Marginals, Marginals], fold: Fold, plain: Start, *, of_y: bool
) -> Start:
    """Return the softmax regression of one side's labels on the other side, with the coordinates of ``plain``."""
    values, named, of_values = (x, y, marginals[0]) if of_y else (y, x, marginals[1])
    head = fit_head(of_values, values, named, fold.train, fold.validation, of_y=of_y)
    start = Start("softmax regression", math.inf, plain.correlation[:0], plain.see_x, plain.see_y, head)
    blocks = _compared(fold.validation)
    nats, parts = _value(start, start.of(x[blocks.flatten()], y[blocks.flatten()]), len(blocks))
    return replace(start, nats=nats, parts=parts)


def _compared(validation: Tensor) -> Tensor:
    """Return blocks of validation rows, at most 600 rows, on which all starts are compared."""
    return in_blocks(validation[: 3 * WIDE_BLOCK], WIDE_BLOCK)


def _value(start: Start, rows: tuple[StartRows, StartRows], blocks: int) -> tuple[float, Tensor]:
    """Return a start's Donsker-Varadhan value over all pairs within blocks, and each row's part, up to a constant."""
    of_x, of_y = (
        StartRows(*(part.reshape(blocks, len(part) // blocks, *part.shape[1:]) for part in side)) for side in rows
    )
    square = of_x.joint[:, :, None] + of_y.joint[:, None, :] - of_x.leading @ of_y.leading.transpose(1, 2)
    dof, offset = square.new_tensor(start.dof), square.new_tensor(start.offset)
    table = elliptical_score(of_x.square[:, :, None], of_y.square[:, None, :], square, dof, offset, start.dims)
    table = table + looked_up(start.tables[None], 0, of_x.places[:, :, None], of_y.places[:, None])
    partner = all_pairs(table.shape[1], table.device)
    scores = table.gather(2, partner.expand(blocks, -1, -1)).flatten(0, 1)
    nats = dv_of(scores)
    log_mean = scores[:, 0].mean() - nats
    return float(nats), scores[:, 0] - (scores[:, 1:] - log_mean).exp().mean(1)
