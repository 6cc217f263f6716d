"""The operands of blocks, and the buffers that all blocks share."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.chunked.plan import Plan
from infomax.ops.problem import Problem

__all__ = ["Blocks", "slice_keys"]


class Blocks:
    """The operands of blocks, and buffers of the size of the largest block, each allocated once.

    Args:
        problem: The problem to solve.
        plan: The blocks of the problem.
        unit: Divisor of the scores. Like the scale, it is multiplied into the queries.
    """

    def __init__(self, problem: Problem, plan: Plan, unit: float) -> None:
        """Store the sizes; each buffer is allocated at its first use."""
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
        buffer = self.buffer("queries", self._rows, source.shape)
        if self._key.ndim == 3:
            buffer = _features_first(buffer)
        # Copy to the wide dtype before multiplying, since a half-precision product would be rounded.
        return buffer.copy_(source).mul_(self.factor)

    def keys(self, keys: slice) -> Tensor:
        """Return keys ``(B, d)``, or their map ``(n, d, P)``, in the dtype of the scores."""
        source = slice_keys(self._key, keys)
        if source.dtype == self._dtype:
            return source
        return self.buffer("keys", self._keys, source.shape).copy_(source)

    def scores(self, name: str, keys: int, rows: int) -> Tensor:
        """Return an uninitialised ``(B, M)`` buffer."""
        return self.buffer(name, self._keys, torch.Size((keys, rows)))

    def sum_into(self, name: str, target: Tensor) -> Tensor:
        """Return the tensor in which to sum a gradient slice: the slice, or a buffer for half precision or a map."""
        rows, dim = target.shape[:2]
        if name == "grad_query" and self._key.ndim == 3 and rows <= dim:
            return _features_first(self.buffer(name, self._rows, target.shape))
        if target.dtype == self._dtype:
            return target
        longest = self._rows if name == "grad_query" else self._keys
        return self.buffer(name, longest, target.shape)

    def buffer(self, name: str, longest: int, shape: torch.Size) -> Tensor:
        """Return an uninitialised view, of the given shape, of the named buffer, which holds ``longest`` rows."""
        buffer = self._buffers.get(name)
        if buffer is None:
            buffer = self._query.new_empty(longest * shape[1], dtype=self._dtype)
            self._buffers[name] = buffer
        return buffer[: shape.numel()].view(shape)


def _features_first(buffer: Tensor) -> Tensor:
    """Return a buffer ``(M, d)`` laid out as a map is, with the rows of one feature side by side.

    The products with the examples of a map take up to half of the time if their other operand has this layout too. A
    sum over the examples does so only where it has no more rows than features.
    """
    rows, dim = buffer.shape
    return buffer.view(dim, rows).T


def slice_keys(key: Tensor, keys: slice) -> Tensor:
    """Return rows ``(B, d)`` of ``(K, d)``, or the examples ``(n, d, P)`` of a map that hold those keys."""
    if key.ndim == 2:
        return key[keys]
    locations = key.shape[2]
    return key[keys.start // locations : keys.stop // locations]


def _longest(slices: tuple[slice, ...]) -> int:
    return max((part.stop - part.start for part in slices), default=0)
