"""The operands of one block, and the buffers that blocks share."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.chunked.plan import Plan
from infomax.ops.problem import Problem

__all__ = ["Blocks", "slice_keys"]


class Blocks:
    """Hands out operands and buffers; a buffer is as large as the largest block and is allocated once.

    Args:
        problem: What is computed.
        plan: Its blocks.
        unit: What scores are divided by; it is folded into the queries, as the scale is.
    """

    def __init__(self, problem: Problem, plan: Plan, unit: float) -> None:
        """Allocate nothing yet: a buffer appears when first asked for."""
        self.factor = problem.scale / unit
        self._query = problem.query
        self._key = problem.key
        self._dtype = problem.dtype
        self._rows = _longest(plan.rows)
        self._keys = _longest(plan.keys)
        self._buffers: dict[str, Tensor] = {}

    def queries(self, rows: slice) -> Tensor:
        """Return queries ``(M, d)`` in the dtype of the scores, multiplied by the factor."""
        source = self._query[rows]
        # Copied before it is multiplied, since a product of halves would be rounded to a half.
        return self.buffer("queries", self._rows, source.shape).copy_(source).mul_(self.factor)

    def keys(self, keys: slice) -> Tensor:
        """Return keys ``(B, d)``, or the map ``(n, d, P)`` of them, in the dtype of the scores."""
        source = slice_keys(self._key, keys)
        if source.dtype == self._dtype:
            return source
        return self.buffer("keys", self._keys, source.shape).copy_(source)

    def scores(self, name: str, keys: int, rows: int) -> Tensor:
        """Return an uninitialised ``(B, M)`` buffer."""
        return self.buffer(name, self._keys, torch.Size((keys, rows)))

    def sum_into(self, name: str, target: Tensor) -> Tensor:
        """Return where to sum up a slice of a gradient: the slice itself, or a wide buffer for halves."""
        if target.dtype == self._dtype:
            return target
        longest = self._rows if name == "grad_query" else self._keys
        return self.buffer(name, longest, target.shape)

    def buffer(self, name: str, longest: int, shape: torch.Size) -> Tensor:
        """Return an uninitialised ``shape`` view of the buffer of that name, made for ``longest`` first indices."""
        buffer = self._buffers.get(name)
        if buffer is None:
            buffer = self._query.new_empty(longest * shape[1], dtype=self._dtype)
            self._buffers[name] = buffer
        return buffer[: shape.numel()].view(shape)


def slice_keys(key: Tensor, keys: slice) -> Tensor:
    """Return rows ``(B, d)`` of ``(K, d)``, or the examples ``(n, d, P)`` of a map that hold those keys."""
    if key.ndim == 2:
        return key[keys]
    locations = key.shape[2]
    return key[keys.start // locations : keys.stop // locations]


def _longest(slices: tuple[slice, ...]) -> int:
    return max((part.stop - part.start for part in slices), default=0)
