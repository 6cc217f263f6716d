"""Groups of rows that depend on each other: a group stays in one fold and is permuted as a whole."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax._checks import shape_of
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import Side, first_rows, row_codes

__all__ = ["Repeats", "as_groups", "permuted_in_groups", "read_repeats"]

_FUNCTION = 1.5  # distinct rows per label up to which the other side counts as a function of the label
_ATOM = 0.02  # share of the rows above which equal rows may be a frequent value instead of copies
_SURELY_ATOM = 0.1  # share of the rows above which equal rows are a frequent value, whatever their values are
_COPIES = 0.5  # agreement of both sides from which equal rows are copies; see `_agreement`
_OFTEN, _SOMETIMES = 10, 5  # times that values occur on average from which integers are codes, surely or perhaps
_VARIES = 0.5  # variance of these times from which integers are codes, as a share of their mean
_FEW = 20  # distinct rows below which frequent rows are not copies, because they would make too few groups


def as_groups(groups: object, rows: int, folds: int) -> Tensor:
    """Return group numbers (n,), counted from 0, for the group names that a user gave.

    Args:
        groups: (n,), numbers or strings; rows with equal values form a group.
        rows: number of rows n.
        folds: number of folds.

    Raises:
        ValueError: another shape or length, or fewer than two groups per fold.
    """
    columns = as_columns("groups", groups)
    if len(columns) != 1 or len(columns[0].values) != rows:
        came = (len(columns[0].values) if columns else 0, len(columns))
        raise ValueError(f"groups must name the group of each of the {rows} rows, got {shape_of(came)}")
    codes = _by_appearance(row_codes(columns[0].as_labels().values[:, None]))
    found = int(codes.max()) + 1
    if found < 2 * folds:
        raise ValueError(
            f"groups must hold at least two groups for each of the {folds} folds, {2 * folds}, got {found}; use "
            "fewer folds"
        )
    return codes


def _by_appearance(codes: Tensor) -> Tensor:
    """Number codes by their first row, so that names of groups, whatever their order, give the same numbers."""
    return first_rows(codes).argsort().argsort()[codes]


class Repeats(NamedTuple):
    """How equal rows are read."""

    groups: Tensor | None
    """(n,), the group of each row, where equal rows are copies; None where they are not."""
    note: str = ""
    """What a user should know who meant it otherwise."""


def read_repeats(x: Side, y: Side) -> Repeats:
    """Decide whether equal rows are copies, which say nothing new, or expected.

    Equal rows are expected where both sides are labels, or where one side is a function of the labels of the other.
    They are also expected where values repeat on each side by itself, as counts and rounded numbers do
    (:func:`_agreement`), and where they are codes (:func:`_are_codes`). A value that many rows take, such as 0, does
    not form a group either. Such a value occurs in more than 2 % of the rows. In addition, one of its sides also occurs
    with other partners, or it consists of integers, or it occurs in more than a tenth of the rows, or there are fewer
    than 20 distinct rows. All other equal rows count as copies.
    """
    if x.codes is not None and y.codes is not None:
        return Repeats(None)
    table = torch.cat([x.values, y.values.to(x.values.device)], 1)
    codes = row_codes(table)
    counts = codes.bincount()
    if int(counts.max()) == 1 or any(len(counts) <= _FUNCTION * _labels(side) for side in (x, y)):
        return Repeats(None)
    times = counts[codes]
    of_sides = torch.stack([_times(side) for side in (x, y)])
    if _agreement(times, of_sides) < _COPIES:
        return Repeats(None)
    integers = (table == table.round()).all(1)
    if bool(integers.all()) and _are_codes(of_sides):
        return Repeats(
            None,
            "equal rows were read as independent rows that agree by chance; if they are copies, or repeated rows of "
            "one subject, pass the subjects as groups",
        )
    elsewhere = (of_sides > times).any(0)
    usual = elsewhere | integers | (times > _SURELY_ATOM * len(codes))
    often = (times > max(2.0, _ATOM * len(codes))) & (usual | (len(counts) < _FEW))
    alone = torch.arange(len(codes), device=codes.device) + len(counts)
    groups = row_codes(torch.where(often, alone, codes)[:, None])
    copied = int((groups.bincount()[groups] > 1).sum())
    if not copied:
        return Repeats(groups)
    return Repeats(
        groups,
        f"{copied} of {len(codes)} rows equal another row and were read as copies, which stay together; if they are "
        "independent, pass groups=range(n) with n rows",
    )


def _are_codes(of_sides: Tensor) -> bool:
    """Return whether integers repeat so often that they are codes of something, rather than rows that were copied.

    Copies seldom occur ten times. If values occur five to ten times on average, the numbers of times of copies are
    alike, as if each row was written five times, and those of codes vary.

    Args:
        of_sides: (2, n), how many rows have the same value of x, and of y.
    """
    distinct = (1 / of_sides.double()).sum(1)
    rarer = of_sides[int(distinct.argmax())].double()
    mean = len(rarer) / float(distinct.max())
    variance = float((rarer.mean() - mean) * mean)  # a value that occurs t times is counted t times in `rarer`
    return mean >= _OFTEN or (mean >= _SOMETIMES and variance >= _VARIES * mean)


def _agreement(times: Tensor, of_sides: Tensor) -> float:
    """Return how far rows that are equal on one side are equal on the other: 0 as by chance, 1 always, as for copies.

    Args:
        times: (n,), how many rows are equal to each row.
        of_sides: (2, n), how many rows have the same value of x, and of y.
    """
    rarer, other = of_sides.double().sort(0).values
    repeated = rarer > 1
    share = (times[repeated] - 1) / (rarer[repeated] - 1)
    chance = (other[repeated] - 1) / (len(times) - 1)
    return float((share - chance).sum() / (1 - chance).sum())


def _times(side: Side) -> Tensor:
    """Return, for each row, how many rows have the same value of this side, (n,)."""
    codes = row_codes(side.values)
    return codes.bincount()[codes]


def _labels(side: Side) -> int:
    return 0 if side.codes is None else int(side.codes.max()) + 1


def permuted_in_groups(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Return a permutation of rows 0 to n - 1 that moves each group, as a whole, to the place of one of the same size.

    Groups of different sizes cannot be paired row by row, and sums over such pairings would vary less than the sum over
    the given pairs. A group with a size that no other group has stays in place.

    Args:
        groups: (n,), the group of each row; rows of a group are consecutive.
        generator: generator of the permutation.

    Example:
        >>> permuted_in_groups(torch.tensor([0, 0, 1, 1, 2, 2]), torch.Generator().manual_seed(1)).view(-1, 2).diff()
        tensor([[1],
                [1],
                [1]])
    """
    _, counts = torch.unique_consecutive(groups, return_counts=True)
    first = counts.cumsum(0) - counts
    order = torch.arange(len(groups))
    for size in torch.unique(counts).tolist():
        alike = first[counts == size, None] + torch.arange(size)
        order[alike] = alike[torch.randperm(len(alike), generator=generator)]
    return order
