"""Rows that belong together: they share a fold, a block of the standard error and a block of a permutation."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import shape_of
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import Side, row_codes

__all__ = ["as_groups", "groups_of_copies", "permuted_in_groups"]

_FUNCTION = 1.5  # different rows per label up to which the other side is taken for a function of the label
_ATOM = 0.02  # share of the rows from which on equal rows may be a value that is often taken, and no copies
_SURELY_ATOM = 0.1  # and share from which on they are one, whatever else is known of it
_FEW = 20  # different rows up to which none are copies: too few to be groups


def as_groups(groups: object, rows: int, folds: int) -> Tensor:
    """Group numbers (n,), from 0, of what a user gave.

    Args:
        groups: (n,), numbers or strings; equal ones belong together.
        rows: n.
        folds: how many folds there are to be.

    Raises:
        ValueError: another shape or length, or fewer groups than folds.
    """
    columns = as_columns("groups", groups)
    if len(columns) != 1 or len(columns[0].values) != rows:
        came = (len(columns[0].values) if columns else 0, len(columns))
        raise ValueError(f"groups must name the group of each of the {rows} rows, got {shape_of(came)}")
    codes = row_codes(columns[0].as_labels().values[:, None])
    found = int(codes.max()) + 1
    if found < 2 * folds:
        raise ValueError(
            f"groups must be at least two for each of the {folds} folds, so that none stays empty, got {found}; use "
            "fewer folds"
        )
    return codes


def groups_of_copies(x: Side, y: Side) -> Tensor | None:
    """Put equal rows into a group, unless all are different or equal rows are to be expected.

    They are where both sides are labels, where one side is a function of the labels of the other, and where a value is
    taken by many rows, as a zero often is. Such a value meets other partners, too, or is an integer, or is taken by a
    tenth of the rows; rows drawn with replacement are equal more often than that allows for by chance, and are copies.
    """
    if x.codes is not None and y.codes is not None:
        return None
    table = torch.cat([x.values, y.values.to(x.values.device)], 1)
    codes = row_codes(table)
    counts = codes.bincount()
    if int(counts.max()) == 1 or any(len(counts) <= _FUNCTION * _labels(side) for side in (x, y)):
        return None
    times = counts[codes]
    elsewhere = torch.stack([_times(side) > times for side in (x, y)]).any(0)
    usual = elsewhere | (table == table.round()).all(1) | (times > _SURELY_ATOM * len(codes))
    often = (times > max(2.0, _ATOM * len(codes))) & (usual | (len(counts) < _FEW))
    alone = torch.arange(len(codes), device=codes.device) + len(counts)
    return row_codes(torch.where(often, alone, codes)[:, None])


def _times(side: Side) -> Tensor:
    """(n,), how many rows have the value that a side has in this one."""
    codes = row_codes(side.values)
    return codes.bincount()[codes]


def _labels(side: Side) -> int:
    return 0 if side.codes is None else int(side.codes.max()) + 1


def permuted_in_groups(groups: Tensor, generator: torch.Generator) -> Tensor:
    """A permutation of rows 0 to n - 1 that moves whole groups, each to the place of one of its size.

    Rows of groups of other sizes would not meet group by group, and sums over them would vary less than that given.
    A group whose size is its own stays where it is.

    Args:
        groups: (n,), the groups of the rows, the same ones side by side.
        generator: of the order.

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
