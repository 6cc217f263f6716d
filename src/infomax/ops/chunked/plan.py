"""How a table of scores is split into blocks, and whether it may be kept whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infomax._precision import accumulation_dtype
from infomax.ops.problem import Problem, count_keys
from infomax.ops.traced import surely

__all__ = ["LEAST_KEYS", "Plan", "kept_size", "may_keep", "takes_map"]

# Matrix products with fewer keys in a block are inefficient.
LEAST_KEYS = 256
# Scores in a block: enough for products at full speed, and few enough for the block to stay in a shared cache.
_BLOCK_SCORES = 2**20
_ALIGNMENT = 64


def kept_size(rows: int, keys: int) -> int:
    """Return the number of elements of a kept table: the slopes, and one row of references per block."""
    return rows * (keys + (keys + LEAST_KEYS - 1) // LEAST_KEYS)


def may_keep(query: Tensor, key: Tensor, workspace: int) -> bool:
    """Say whether the whole table fits in half of the workspace, and a block can span all queries."""
    rows, dim = query.shape
    budget = workspace // accumulation_dtype(query.dtype).itemsize
    share = budget // 16
    fits = surely(kept_size(rows, count_keys(key)) <= budget // 2)
    return fits and rows * _least(key) <= share and rows * dim <= share and LEAST_KEYS * dim <= share


def _least(key: Tensor) -> int:
    """Return a bound on the keys of the smallest block; a block of a map has whole examples, so up to twice as many."""
    return LEAST_KEYS if key.ndim == 2 else 2 * LEAST_KEYS


def takes_map(key: Tensor) -> bool:
    """Say whether a map ``(N, d, P)`` is read directly, in blocks of whole examples.

    An example must then have no more locations than the smallest block has keys, and enough for a product of its own.
    """
    wide = key.dtype in (torch.float32, torch.float64)
    return wide and key.device.type == "cpu" and key.is_contiguous() and _ALIGNMENT // 4 <= key.shape[2] <= LEAST_KEYS


@dataclass(frozen=True)
class Plan:
    """The blocks of one problem.

    Seven temporaries of at most one share of the workspace exist at a time: two blocks of scores and their masks, the
    scaled queries and, for half precision, the widened keys and gradients. A map has six: its queries' gradient is one.
    So a share is an eighth of the workspace, or a sixteenth if a kept table takes half of it.

    Attributes:
        rows: Query slices.
        keys: Key slices; all but the last have the same length.
    """

    rows: tuple[slice, ...]
    keys: tuple[slice, ...]

    @classmethod
    def of(cls, problem: Problem, keep: bool) -> Plan:
        """Split a problem into blocks; the same problem is always split alike."""
        rows, dim = problem.query.shape
        keys, locations = problem.keys, problem.key.shape[2] if problem.key.ndim == 3 else 1
        share = problem.workspace // problem.dtype.itemsize // (16 if keep else 8)
        row_block = min(rows, max(1, share // max(dim, _least(problem.key))))
        key_block = max(LEAST_KEYS, min(_BLOCK_SCORES, share) // max(1, row_block))
        if problem.query.dtype != problem.dtype:
            # Keys are widened one block at a time.
            key_block = min(key_block, max(share // max(1, dim), LEAST_KEYS if keep else 1))
        if problem.key.ndim == 3:
            examples = max(-(-LEAST_KEYS // locations), key_block // locations)
            return cls(_slices(rows, row_block), _runs(keys, examples * locations))
        return cls(_slices(rows, row_block), _slices(keys, key_block))


def _slices(total: int, most: int) -> tuple[slice, ...]:
    """Split ``range(total)`` into runs of similar length, at most ``most``, without a short remainder."""
    if total == 0:
        return ()
    size = -(-total // -(-total // most))
    size = min(most, -(-size // _ALIGNMENT) * _ALIGNMENT)
    return _runs(total, size)


def _runs(total: int, size: int) -> tuple[slice, ...]:
    return tuple(slice(start, min(start + size, total)) for start in range(0, total, size))
