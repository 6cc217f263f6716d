"""One side of the pairs: the columns that critics see, and the coordinates in which neighbours are sought."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.input.columns import Column, integers_of

__all__ = [
    "Side",
    "are_few",
    "as_side",
    "first_rows",
    "independent_rows",
    "most_nats",
    "perhaps_labels",
    "row_codes",
    "which_of",
]

_MOST_LEVELS = 20  # different integers in a column that also counts as labels
_ROWS_PER_LEVEL = 20
_MOST_LABELS = 300
_DIGITS = 15  # float64 represents every integer of at most this many digits
_MOST_TOGETHER = 60  # distinct rows of a side of labels up to which each row gets a column


class Encoder(NamedTuple):
    """A map from given columns to the columns that critics see; learnt on all rows, and applied to new rows, too."""

    kept: tuple[int, ...]
    """Columns that critics see as numbers."""
    levels: tuple[tuple[int, Tensor], ...]
    """Columns of labels, each with the labels that get a 0/1 column."""
    rows: Tensor | None
    """(L, d), distinct rows that get a 0/1 column each; with only two distinct rows, the second one gets a column."""
    names: tuple[tuple[str, ...] | None, ...]
    """Names of the labels of each column; None for numbers, and for labels that are numbers."""
    titles: tuple[object, ...] = ()
    """Names of the columns in a data frame; None for a column without one."""
    known: tuple[tuple[int, Tensor], ...] = ()
    """Columns of labels that are numbers, each with all its labels."""

    def __call__(self, name: str, columns: list[Column]) -> Tensor:
        """Return the columns that critics see, (n, columns seen), float64; ``name`` is the argument, for messages."""
        pairs = zip(columns, self.names, strict=True)
        given = torch.stack([_renamed(name, column, names) for column, names in pairs], 1)
        for place, numbers in self.known:
            new = given[:, place][~torch.isin(given[:, place], numbers)]
            if len(new):
                came = ", ".join(f"{value:g}" for value in torch.unique(new)[:5].tolist())
                called = columns[place].called or name
                raise ValueError(f"{called} must hold labels of the estimate, got {came}; leave these rows out")
        parts = [given[:, list(self.kept)]]
        parts += [(given[:, column, None] == levels).double() for column, levels in self.levels]
        if self.rows is not None:
            same = which_of(given, self.rows)
            unknown = int((~same.any(1)).sum())
            if unknown and not self.kept:
                raise ValueError(
                    f"{name} must hold labels of the estimate, got {unknown} rows with other labels; leave them out"
                )
            parts.append((same[:, 1:] if len(self.rows) == 2 else same).double())
        return torch.cat(parts, 1)


class Side(NamedTuple):
    """One of the two variables."""

    values: Tensor
    """(n, d), float64, the columns that critics see."""
    codes: Tensor | None
    """(n,), the code of each row's label where the side consists of labels only; else None."""
    dims: int
    """Number of given columns that vary."""
    encoder: Encoder
    """The map from given columns to the columns that critics see."""

    @property
    def is_label(self) -> bool:
        """Whether the side consists of labels only, and of few enough that each can be a class."""
        return self.codes is not None and int(self.codes.max()) < _MOST_LABELS

    @property
    def freedom(self) -> int:
        """Number of coordinates, or number of labels minus 1, through which the side may depend on the other."""
        return self.values.shape[1] if self.codes is None else int(self.codes.max())

    @property
    def entropy(self) -> float | None:
        """Entropy of the labels in these rows, nats; None unless the side consists of labels only."""
        if self.codes is None:
            return None
        shares = self.codes.bincount().double() / len(self.codes)
        return float(-torch.special.xlogy(shares, shares).sum())

    @property
    def alone(self) -> float:
        """Share of the rows whose label no other row has; 0 unless the side consists of labels only."""
        if self.codes is None:
            return 0.0
        return float((self.codes.bincount()[self.codes] == 1).double().mean())


def as_side(name: str, columns: list[Column]) -> Side:
    """Build a side from its columns; constant columns are left out.

    A side also counts as labels if it is one integer column with at most 20 levels and 20 rows or more per level on
    average, or if it consists of 0/1 columns with exactly one 1 in each row. Critics see the integers both as numbers
    and as labels.

    Args:
        name: the argument, for messages.
        columns: columns of the side.

    Raises:
        ValueError: a side that does not vary, or more than 300 labels in a column.
    """
    varying = [i for i, column in enumerate(columns) if bool((column.values != column.values[:1]).any())]
    if not varying:
        rows = len(columns[0].values) if columns else 0
        raise ValueError(f"{name} must vary, got the same row {rows} times: its mutual information is 0")
    given = torch.stack([column.values for column in columns], 1)
    labelled = [i for i in varying if columns[i].labels]
    integers = len(varying) == 1 and not labelled and _are_levels(columns[varying[0]].values)
    discrete = integers or len(labelled) == len(varying) or _is_one_hot(given)
    codes = row_codes(given) if discrete else None
    if codes is not None and int(codes.max()) < _MOST_TOGETHER:
        shown: tuple[tuple[int, Tensor], ...] = ()
        rows_shown = torch.unique(given, dim=0)
    else:
        shown, rows_shown = tuple((i, _levels(columns[i].called or name, columns[i].values)) for i in labelled), None
    kept = varying if integers else [i for i in varying if i not in labelled and (codes is None or rows_shown is None)]
    names, titles = (tuple(getattr(column, part) for column in columns) for part in ("names", "title"))
    known = tuple((i, torch.unique(columns[i].values)) for i in labelled if names[i] is None)
    encoder = Encoder(tuple(kept), shown, rows_shown, names, titles, known)
    return Side(encoder(name, columns), codes, len(varying), encoder)


def row_codes(values: Tensor) -> Tensor:
    """Return a code for each row, (n,), the same for equal rows only."""
    codes: Tensor = torch.unique(values, dim=0, return_inverse=True)[1]
    return codes


def first_rows(codes: Tensor) -> Tensor:
    """Return the first row of each code, (number of codes,)."""
    rows = torch.arange(len(codes), device=codes.device)
    return rows.new_full((int(codes.max()) + 1,), len(codes)).scatter_reduce(0, codes, rows, "amin")


def independent_rows(side: Side, groups: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the values and the codes of one row of each group; of all rows where there are no groups."""
    if groups is None:
        return side.values, side.codes
    rows = first_rows(groups)
    return side.values[rows], None if side.codes is None else side.codes[rows]


def most_nats(x: Side, y: Side) -> float:
    """Return the largest possible information of two sides, nats: the smallest entropy of a side of labels, or inf."""
    return min((entropy for entropy in (x.entropy, y.entropy) if entropy is not None), default=math.inf)


def which_of(values: Tensor, rows: Tensor) -> Tensor:
    """Return which of the distinct rows (L, d) each of the values (n, d) equals, if any: (n, L), bool.

    Rows are compared by codes, because a table of values, rows and columns could be large.
    """
    codes = row_codes(torch.cat([rows, values]))
    same: Tensor = codes[len(rows) :, None] == codes[: len(rows)]
    return same


def _levels(name: str, values: Tensor) -> Tensor:
    levels: Tensor = torch.unique(values)
    if len(levels) > _MOST_LABELS:
        raise ValueError(
            f"{name} must have at most {_MOST_LABELS} labels in a column, got {len(levels)}; drop columns that "
            "identify rows, merge rare labels, or pass numeric columns as numbers"
        )
    return levels[1:] if len(levels) == 2 else levels


def are_few(values: Tensor) -> bool:
    """Return whether integers (n,) count as labels: at most 20 different ones, with 20 rows or more on average."""
    count = len(torch.unique(values))
    return count <= _MOST_LEVELS and count * _ROWS_PER_LEVEL <= len(values)


def perhaps_labels(name: str, columns: list[Column]) -> tuple[str, ...]:
    """Return a note where a side is a column of a few integers, too rare to count as labels unless the user says so."""
    if len(columns) != 1 or columns[0].labels:
        return ()
    values = columns[0].values
    count = len(torch.unique(values))
    if count > _MOST_LEVELS or are_few(values) or not bool((values == values.round()).all()):
        return ()
    called = columns[0].called or name
    note = f"{called} has {count} different integers, read as numbers; if they are labels, pass discrete={name!r}"
    return (f"{note} or 'both'",)


def _are_levels(values: Tensor) -> bool:
    return are_few(values) and bool((values == values.round()).all())


def _is_one_hot(values: Tensor) -> bool:
    return values.shape[1] > 1 and bool(((values == 0) | (values == 1)).all()) and bool((values.sum(1) == 1).all())


def _renamed(name: str, column: Column, names: tuple[str, ...] | None) -> Tensor:
    """Return the codes of a column's labels in the numbering of the encoder."""
    name = column.called or name
    if names is not None and column.names is None and _are_large_integers(names):
        if column.exact is None and bool((column.values.abs() >= 2**53).any()):
            raise TypeError(
                f"{name} must hold integers, as in the estimate, got floats, which do not tell those above 2^53 apart; "
                "pass the integers themselves"
            )
        column = column._replace(exact=integers_of(column)).as_labels()
    if column.names == names:
        return column.values
    if names is None or column.names is None:
        kinds = ("numbers", "labels") if names is None else ("labels", "numbers")
        raise TypeError(f"{name} must hold what it held in the estimate, got {kinds[1]} in a column of {kinds[0]}")
    known = {label: number for number, label in enumerate(names)}
    new = [label for label in column.names if label not in known]
    if new:
        raise ValueError(
            f"{name} must hold labels of the estimate, got {', '.join(map(repr, new[:5]))}; leave these rows out"
        )
    numbers = column.values.new_tensor([known[label] for label in column.names])
    return numbers[column.values.long()]


def _are_large_integers(names: tuple[str, ...]) -> bool:
    """Return whether all names are integers, at least one of them with more digits than float64 holds."""
    return all(name.lstrip("-").isdigit() for name in names) and any(len(name) > _DIGITS for name in names)
