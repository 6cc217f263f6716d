"""How a problem is cut for torch's products: blocks of scores, panels of weights, chunks of results."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from infomax.ops.problem import Problem
from infomax.ops.traced import surely

__all__ = ["KEY_TILE", "MOST_ROWS_OF_GRID", "ROW_TILE", "Plan", "kept_size", "may_keep", "obstacle", "padded", "slices"]

ROW_TILE, KEY_TILE = 16, 128
"""Scores that a program of the kernels holds at a time."""
MOST_ROWS_OF_GRID = 65_535 * ROW_TILE
"""CUDA takes no more programs along the second axis of a grid."""

# 128 MiB of float32. A block that fits the cache would be read faster, but then the host cannot launch as fast as the
# device computes: on an H100, blocks of 16 MiB took up to twice as long.
_BLOCK_SCORES = 2**25
_MOST_ROWS = 4096
# Programs that keep the largest GPUs busy. A constant, so that sums are split alike on every device.
_PROGRAMS = 1024
_ALIGNMENT = 64


def padded(keys: int) -> int:
    """Return the length of a row of a table, at which rows start aligned."""
    return -(-keys // _ALIGNMENT) * _ALIGNMENT


def kept_size(rows: int, keys: int, reduction: str) -> int:
    """Return the float32 elements that hold the slopes and, for a log-sum-exp, a reference per query and tile."""
    return rows * padded(keys) + (rows * -(-keys // KEY_TILE) if reduction == "logsumexp" else 0)


def may_keep(rows: int, keys: int, reduction: str, dtype: torch.dtype, workspace: int) -> bool:
    """Say whether slopes are kept: in float32, where they fit half the workspace.

    By count, computing scores of halves again costs an H100 as much as writing and reading slopes at 512 features, and
    less below. It would pay above; it is left out for one way instead of two.
    """
    return dtype == torch.float32 and surely(8 * kept_size(rows, keys, reduction) <= workspace)


def obstacle(query: torch.Tensor, workspace: int) -> str | None:
    """Say why the queries do not fit the workspace: a panel of weights holds them all, and so does a wide sum."""
    rows, dim = query.shape
    least = 8 * rows * max(KEY_TILE * query.dtype.itemsize // 2, 4 * dim)
    if not surely(least > workspace):
        return None
    return f"{rows} queries of {dim} features need a workspace of {least} bytes, got {workspace}"


@dataclass(frozen=True)
class Plan:
    """The cuts of one problem.

    Half of the workspace is for kept slopes. Of the rest, a quarter of the workspace holds a block of scores in the
    forward pass; in the backward pass a quarter holds a panel of weights, an eighth a wide sum of the queries'
    gradient, and sixteenths a block of scores and a chunk of a wide result.

    Attributes:
        rows: Query slices of the blocks.
        panels: Key slices for which weights exist at a time.
        block: Keys in a block of scores, at most.
        chunk: Rows of a gradient that are summed in float32 at a time, at most.
        parts: Ranges into which programs split the keys of a block.
    """

    rows: tuple[slice, ...]
    panels: tuple[slice, ...]
    block: int
    chunk: int
    parts: int

    @classmethod
    def of(cls, problem: Problem) -> Plan:
        """Cut a problem; the same problem is always cut alike."""
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
        """Cut a panel, or all keys, into the blocks of scores."""
        return slices(panel.start, panel.stop, self.block)

    def chunks(self, part: slice) -> tuple[slice, ...]:
        """Cut the rows of a gradient."""
        return slices(part.start, part.stop, self.chunk)


def slices(first: int, last: int, most: int) -> tuple[slice, ...]:
    """Cut a range into parts of ``most`` at most."""
    return tuple(slice(start, min(start + most, last)) for start in range(first, last, max(1, most)))
