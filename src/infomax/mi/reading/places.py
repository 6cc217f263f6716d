"""Where neighbours are sought: ranks without ties, or labels, of rows without copies."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.input.sides import Side, first_rows, row_codes

__all__ = ["places", "ranks_without_ties", "without_copies"]


def places(side: Side, generator: torch.Generator) -> Tensor:
    """Return ranks on the scale of a normal distribution, (n, d) floats; or codes of labels, (n, 1) integers.

    Args:
        side: one side of the pairs.
        generator: generator of the order of equal numbers.
    """
    if side.codes is not None:
        return side.codes[:, None]
    scores = Ranks(side.values).scores(side.values)
    for column in range(len(side.encoder.kept)):  # the columns after these are 0/1, one for each label
        values = side.values[:, column]
        if len(torch.unique(values)) < len(values):
            ranks = ranks_without_ties(values, generator)
            scores[:, column] = torch.special.ndtri((ranks + 0.5) / len(ranks))
    return scores.float()


def ranks_without_ties(values: Tensor, generator: torch.Generator) -> Tensor:
    r"""Return the ranks of numbers, from 0 on, where equal numbers are near each other in random order.

    This keeps the mutual information. It adds noise U that is independent of all other data and too small to change the
    order of different values, so X is a function of X + U, and :math:`I(X + U; Y) = I(X; Y)`. Neighbours need it. The
    k-th neighbour of a row is as far as several rows where values repeat. A box that reaches so far was chosen because
    it holds at least k rows, and the count of its rows is then too high on average.

    Equal numbers are spread over half of the ranks that they share. Spread over all of them, many coordinates that are
    mostly 0 bury the others in noise.

    Args:
        values: (n,), float64.
        generator: generator of the order of equal values.

    Example:
        >>> values = torch.tensor([2.0, 1.0, 2.0], dtype=torch.float64)
        >>> found = ranks_without_ties(values, torch.Generator().manual_seed(0))
        >>> sorted(found.tolist())
        [0.0, 1.25, 1.75]
    """
    shuffled = torch.randperm(len(values), generator=generator).to(values.device)
    order = shuffled[values[shuffled].argsort(stable=True)]
    ranks = torch.empty_like(values).scatter_(0, order, torch.arange(len(order)).to(values))
    codes, counts = torch.unique(values, return_inverse=True, return_counts=True)[1:]
    shared = torch.zeros(len(counts), dtype=ranks.dtype, device=ranks.device).index_add_(0, codes, ranks) / counts
    spread: Tensor = (ranks + shared[codes]) / 2
    return spread


def without_copies(x: Side, y: Side, groups: Tensor | None) -> Tensor:
    """Return rows, on the CPU, without equal rows within a group, so that copies do not count as several neighbours."""
    if groups is None:
        return torch.arange(len(x.values))
    here = x.values.device
    rows = torch.cat([x.values, y.values.to(here), groups[:, None].double().to(here)], 1)
    return first_rows(row_codes(rows).cpu()).sort().values
