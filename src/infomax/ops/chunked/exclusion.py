"""Which part of a block of scores holds pairs of one group, and how they are taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.problem import Problem

__all__ = ["Exclusion"]


class Exclusion:
    """Finds excluded pairs a block at a time.

    Groups usually come sorted: examples one after the other, each with its run of locations. A block of keys then
    meets few groups, and the queries of those groups are one short range of columns; only that corner of the block is
    compared. Groups in any other order are compared over the whole block. On an accelerator the ranges are not looked
    for, since reading them would wait for the device.
    """

    def __init__(self, problem: Problem, keys: tuple[slice, ...]) -> None:
        """Find the range of queries that each block of keys can exclude."""
        self._query_group = problem.query_group
        self._key_group = problem.key_group
        self._columns: list[tuple[int, int]] | None = None
        groups = problem.query_group
        if groups is None or problem.key_group is None or problem.key.device.type != "cpu" or not keys:
            return
        if bool((groups[1:] < groups[:-1]).any()):
            return
        extremes = [torch.stack(torch.aminmax(problem.key_group[block])) for block in keys]
        lowest, highest = torch.stack(extremes, 1)
        first = torch.searchsorted(groups, lowest)
        last = torch.searchsorted(groups, highest, right=True)
        self._columns = list(zip(first.tolist(), last.tolist(), strict=True))

    def fill(self, block: Tensor, index: int, keys: slice, rows: slice, value: float) -> None:
        """Put ``value`` in place of what a block holds for excluded pairs.

        Args:
            block: ``(B, M)``, an entry for each of the keys and queries in the two slices.
            index: Which block of keys it is.
            keys: Its keys.
            rows: Its queries.
            value: What takes their place.
        """
        if self._query_group is None or self._key_group is None:
            return
        start, stop = rows.start, rows.stop
        if self._columns is not None:
            first, last = self._columns[index]
            start, stop = max(start, first), min(stop, last)
            if start >= stop:
                return
        same = self._key_group[keys, None] == self._query_group[None, start:stop]
        block[:, start - rows.start : stop - rows.start].masked_fill_(same, value)
