"""How a problem is split for torch's products: blocks of scores, panels of weights, chunks of results."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from infomax.ops.problem import Problem
from infomax.ops.traced import surely

__all__ = ["KEY_TILE", "MOST_ROWS_OF_GRID", "ROW_TILE", "Plan", "kept_size", "may_keep", "obstacle", "padded", "slices"]

ROW_TILE, KEY_TILE = 16, 128
"""Rows and keys of the tile of scores that a program of the kernels holds at a time."""
MOST_ROWS_OF_GRID = 65_535 * ROW_TILE
"""The most queries per launch: CUDA allows at most 65,535 programs along the second axis of a grid."""

# 128 MiB of float32. A block that fits in the cache would be read faster, but the host could not launch such small
# kernels as fast as the device computes: on an H100, blocks of 16 MiB took up to twice as long.
_BLOCK_SCORES = 2**25
_MOST_ROWS = 4096
# The number of programs that keeps the largest GPUs busy. It is a constant, so that every device splits sums alike.
_PROGRAMS = 1024
_ALIGNMENT = 64


def padded(keys: int) -> int:
    """Return the padded length of the rows of a table, so that every row starts aligned."""
    return -(-keys // _ALIGNMENT) * _ALIGNMENT


def kept_size(rows: int, keys: int, reduction: str) -> int:
    """Return the number of float32 elements for the slopes and, in a log-sum-exp, a reference per query and tile."""
    return rows * padded(keys) + (rows * -(-keys // KEY_TILE) if reduction == "logsumexp" else 0)


def may_keep(rows: int, keys: int, reduction: str, dtype: torch.dtype, workspace: int) -> bool:
    """Say whether slopes are kept: only in float32, and only if they fit in half of the workspace.

    In half precision they are never kept. By a count of operations and bytes for an H100, recomputing the scores costs
    as much as writing and reading slopes at 512 features, and less with fewer features. With more features keeping them
    would be faster, but half precision would then need two code paths.
    """
    return dtype == torch.float32 and surely(8 * kept_size(rows, keys, reduction) <= workspace)


def obstacle(query: torch.Tensor, workspace: int) -> str | None:
    """Return why the queries do not fit in the workspace, or None if they do.

    A panel of weights has a row for each query, and so has the float32 sum of the queries' gradient.
    """
    rows, dim = query.shape
    least = 8 * rows * max(KEY_TILE * query.dtype.itemsize // 2, 4 * dim)
    if not surely(least > workspace):
        return None
    return f"{rows} queries of {dim} features need a workspace of {least} bytes, got {workspace}"


@dataclass(frozen=True)
class Plan:
    """How one problem is split.

    Half of the workspace is for kept slopes. A block of scores takes up to a sixteenth of the workspace. In the
    backward pass, a panel of weights takes up to a quarter, the float32 sum of the queries' gradient up to an eighth,
    and a chunk of a float32 result up to a sixteenth.

    Attributes:
        rows: Query slices of the blocks.
        panels: Key slices of the panels of weights.
        block: Largest number of keys in a block of scores.
        chunk: Largest number of gradient rows that are summed in float32 at a time.
        parts: Number of ranges into which the programs of a kernel split the keys of a block.
    """

    rows: tuple[slice, ...]
    panels: tuple[slice, ...]
    block: int
    chunk: int
    parts: int

    @classmethod
    def of(cls, problem: Problem) -> Plan:
        """Split a problem; the same problem is always split alike."""
        (rows, dim), keys = problem.query.shape, problem.key.shape[0]
        share = problem.workspace // 16
        scores = min(_BLOCK_SCORES, share // 4)
        row_block = min(rows, _MOST_ROWS, max(ROW_TILE, scores // KEY_TILE // ROW_TILE * ROW_TILE))
        block = max(1, scores // max(1, row_block) // KEY_TILE) * KEY_TILE
        panel = max(1, 4 * share // (max(1, rows) * problem.query.dtype.itemsize) // KEY_TILE) * KEY_TILE
        chunk = max(1, min(2 * _BLOCK_SCORES, share) // (4 * max(1, dim)))
        tiles = -(-min(block, max(1, keys)) // KEY_TILE)
        parts = max(1, min(tiles, _PROGRAMS // max(1, -(-row_block // ROW_TILE))))
        return cls(slices(0, rows, row_block), slices(0, keys, panel), block, chunk, parts)

    def blocks(self, panel: slice) -> tuple[slice, ...]:
        """Split a panel, or all keys, into blocks of scores."""
        return slices(panel.start, panel.stop, self.block)

    def chunks(self, part: slice) -> tuple[slice, ...]:
        """Split the rows of a gradient into chunks."""
        return slices(part.start, part.stop, self.chunk)


def slices(first: int, last: int, most: int) -> tuple[slice, ...]:
    """Split a range into slices of at most ``most``."""
    return tuple(slice(start, min(start + most, last)) for start in range(first, last, max(1, most)))
