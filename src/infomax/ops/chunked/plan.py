"""How a table of scores is cut into blocks, and whether it may be kept whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from infomax._precision import accumulation_dtype
from infomax.ops.problem import Problem

__all__ = ["LEAST_KEYS", "Plan", "kept_size", "may_keep"]

# Fewer keys than this in a block leave the matrix products short of work.
LEAST_KEYS = 256
# Scores in a block: enough for the products to run at full speed, few enough to stay in a shared cache meanwhile.
_BLOCK_SCORES = 2**20
_ALIGNMENT = 64


def kept_size(rows: int, keys: int) -> int:
    """Return the elements of a kept table: the slopes, and one row of references a block."""
    return rows * (keys + (keys + LEAST_KEYS - 1) // LEAST_KEYS)


def may_keep(rows: int, keys: int, dim: int, dtype: torch.dtype, workspace: int) -> bool:
    """Say whether the whole table fits in half the workspace, and one block spans all queries."""
    budget = workspace // accumulation_dtype(dtype).itemsize
    share = budget // 16
    fits = _known(kept_size(rows, keys) <= budget // 2)
    return fits and rows * LEAST_KEYS <= share and rows * dim <= share and LEAST_KEYS * dim <= share


def _known(condition: bool) -> bool:
    """False while compiling where the condition depends on what a tensor holds, as the rows that a mask leaves do."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental import symbolic_shapes  # here: it loads sympy

        if hasattr(symbolic_shapes, "guard_or_false"):  # from torch 2.8
            return bool(symbolic_shapes.guard_or_false(condition))
    return condition


@dataclass(frozen=True)
class Plan:
    """The blocks of one problem.

    Seven temporaries of at most one share of the workspace exist at a time (two blocks of scores and their masks,
    the scaled queries, and for half precision the widened keys and gradients), so a share is an eighth of it,
    or a sixteenth beside a kept table, which takes half.

    Attributes:
        rows: Query slices.
        keys: Key slices; all of one length but the last.
    """

    rows: tuple[slice, ...]
    keys: tuple[slice, ...]

    @classmethod
    def of(cls, problem: Problem, keep: bool) -> Plan:
        """Cut a problem; the same problem is always cut alike."""
        rows, dim = problem.query.shape
        keys = problem.key.shape[0]
        share = problem.workspace // problem.dtype.itemsize // (16 if keep else 8)
        row_block = min(rows, max(1, share // max(dim, LEAST_KEYS)))
        key_block = max(LEAST_KEYS, min(_BLOCK_SCORES, share) // max(1, row_block))
        if problem.query.dtype != problem.dtype:
            # Keys are widened a block at a time.
            key_block = min(key_block, max(share // max(1, dim), LEAST_KEYS if keep else 1))
        return cls(_slices(rows, row_block), _slices(keys, key_block))


def _slices(total: int, most: int) -> tuple[slice, ...]:
    """Cut ``range(total)`` into even runs of at most ``most``, so that none is a short remainder."""
    if total == 0:
        return ()
    size = -(-total // -(-total // most))
    size = min(most, -(-size // _ALIGNMENT) * _ALIGNMENT)
    return tuple(slice(start, min(start + size, total)) for start in range(0, total, size))
