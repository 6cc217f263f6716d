"""Where neighbours are sought: ranks without ties, or labels, of rows without copies."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.input.sides import Side, first_rows, row_codes

__all__ = ["places", "without_copies", "without_ties"]


def places(side: Side, generator: torch.Generator) -> Tensor:
    """Return ranks on the scale of a normal distribution, (n, d) floats; or codes of labels, (n, 1) integers.

    Args:
        side: one side of the pairs.
        generator: generator of the order of equal numbers.
    """
    if side.codes is not None:
        return side.codes[:, None]
    numbers = len(side.encoder.kept)  # the columns after these are 0/1, one for each label
    values = torch.cat([without_ties(side.values[:, :numbers], generator), side.values[:, numbers:]], 1)
    return Ranks(values).scores(values).float()


def without_ties(values: Tensor, generator: torch.Generator) -> Tensor:
    r"""Replace each column that has equal values by its ranks, with equal values in random order.

    This keeps the mutual information. It adds noise U that is independent of all other data and too small to change the
    order of different values, so X is a function of X + U, and :math:`I(X + U; Y) = I(X; Y)`. Neighbours need it. The
    k-th neighbour of a row is as far as several rows where values repeat. A box that reaches so far was chosen because
    it holds at least k rows, and the count of its rows is then too high on average.

    Args:
        values: (n, d).
        generator: generator of the order of equal values; not used where all values differ.

    Example:
        >>> values = torch.tensor([[2.0, 0.5], [1.0, 0.1], [2.0, 0.9]])
        >>> found = without_ties(values, torch.Generator().manual_seed(0))
        >>> sorted(found[:, 0].tolist()), found[1, 0].item(), torch.equal(found[:, 1], values[:, 1])
        ([0.0, 1.0, 2.0], 0.0, True)
    """
    columns = []
    for column in values.T:
        if len(torch.unique(column)) < len(column):
            shuffled = torch.randperm(len(column), generator=generator).to(column.device)
            order = shuffled[column[shuffled].argsort(stable=True)]
            column = torch.empty_like(column).scatter_(0, order, torch.arange(len(order)).to(column))
        columns.append(column)
    return torch.stack(columns, 1) if columns else values


def without_copies(x: Side, y: Side, groups: Tensor | None) -> Tensor:
    """Return rows, on the CPU, without equal rows within a group, so that copies do not count as several neighbours."""
    if groups is None:
        return torch.arange(len(x.values))
    here = x.values.device
    rows = torch.cat([x.values, y.values.to(here), groups[:, None].double().to(here)], 1)
    return first_rows(row_codes(rows).cpu()).sort().values
