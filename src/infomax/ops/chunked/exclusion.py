"""The exclusion of pairs of the same group from a block of scores."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.problem import Problem

__all__ = ["Exclusion"]


class Exclusion:
    """The excluded pairs, found one block at a time.

    Groups are usually sorted: the locations of the first example, those of the second, and so on. A block of keys then
    has few groups, the queries of these groups form one short range of columns, and only these columns are compared.
    With unsorted groups, the whole block is compared. On an accelerator the whole block is always compared, because
    reading the ranges would synchronise with the device.
    """

    def __init__(self, problem: Problem, keys: tuple[slice, ...]) -> None:
        """Find, for each block of keys, the range of queries that may share a group with it."""
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
        """Overwrite the excluded pairs of a block.

        Args:
            block: ``(B, M)``, one entry per key and query of the two slices.
            index: Index of the block of keys.
            keys: Keys of the block.
            rows: Queries of the block.
            value: New value of the excluded pairs.
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
