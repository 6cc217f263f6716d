"""The positions of joint pairs in blocks, where their scores are read and their gradients are added."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.add import add_at
from infomax.ops.problem import Problem

__all__ = ["JointPairs"]


class JointPairs:
    """The joint pairs, located block by block.

    The keys of joint pairs are sorted, so the pairs of a block of keys are one run of the list. If the queries are
    split as well, the pairs of a block are selected from that run.
    """

    def __init__(self, problem: Problem, keys: tuple[slice, ...]) -> None:
        """Find the run of each block of keys."""
        self._query = problem.joint_query
        self._key = problem.joint_key
        self._queries = problem.query.shape[0]
        self._bounds = [0] * (len(keys) + 1)
        if self._key is not None and keys:
            # Read all bounds at once: on an accelerator, each read synchronises with the device.
            starts = self._key.new_tensor([block.start for block in keys] + [keys[-1].stop])
            self._bounds = torch.searchsorted(self._key, starts).tolist()

    def read(self, joint: Tensor, block: Tensor, index: int, keys: slice, rows: slice) -> None:
        """Copy the scores of a block's joint pairs to ``joint``, the scores of all joint pairs."""
        found = self._find(index, keys, rows)
        if found is not None:
            positions, where = found
            joint[where] = block.view(-1)[positions]

    def add(self, grads: Tensor, block: Tensor, index: int, keys: slice, rows: slice) -> None:
        """Add the gradients of a block's joint pairs, from ``grads`` of all joint pairs, to its weights."""
        found = self._find(index, keys, rows)
        if found is not None:
            positions, where = found
            add_at(block.view(-1), positions, grads[where])

    def _find(self, index: int, keys: slice, rows: slice) -> tuple[Tensor, Tensor | slice] | None:
        """Locate the joint pairs of a block.

        Returns:
            Their positions in the flattened ``(B, M)`` block and in the list of pairs, or None if there are none.
        """
        run = slice(self._bounds[index], self._bounds[index + 1])
        if self._query is None or self._key is None or run.start == run.stop:
            return None
        query, key = self._query[run], self._key[run]
        width = rows.stop - rows.start
        where: Tensor | slice = run
        if width < self._queries:
            inside = ((query >= rows.start) & (query < rows.stop)).nonzero().squeeze(1)
            query, key, where = query[inside], key[inside], inside + run.start
        return (key - keys.start) * width + (query - rows.start), where
