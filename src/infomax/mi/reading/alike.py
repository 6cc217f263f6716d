"""Columns of a side that are so much alike that ranks hide their difference."""

from __future__ import annotations

import torch

from infomax.mi.input.sides import Side

__all__ = ["columns_alike"]

_RANKS_APART = 25  # mean difference of the ranks of two columns, below which much of it is chance
_FINE = 0.1  # different values, as a share of the rows, above which a column has no steps
_MOST = 400_000_000  # differences computed, at most: rows x pairs of columns


def columns_alike(side: Side) -> tuple[int, int] | None:
    """Return the two columns of a side of numbers whose ranks differ least, if ranks hide their difference; else None.

    A difference of m ranks has an error of about sqrt(m), because it counts the rows in between. Columns of few values
    are not meant: their ranks do not vary from sample to sample by more than the steps between values.

    Args:
        side: one of the two variables.
    """
    values = side.values.T.contiguous()
    d, n = values.shape
    if side.codes is not None or d < 2 or d * d * n > _MOST:
        return None
    fine = torch.tensor([len(torch.unique(column)) > _FINE * n for column in values])
    ranks = torch.searchsorted(values.sort(1).values, values, right=True).float()
    apart = torch.full((d, d), torch.inf)
    for i in range(d - 1):
        differences = (ranks[i + 1 :] - ranks[i]).abs()
        apart[i, i + 1 :] = (differences.sum(1) / (differences > 0).sum(1)).nan_to_num(torch.inf).cpu()
    apart = torch.where(fine[:, None] & fine, apart, torch.inf)
    i, j = divmod(int(apart.argmin()), d)
    return (i, j) if float(apart[i, j]) < _RANKS_APART else None
