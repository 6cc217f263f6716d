"""Tile sizes of the Triton kernels.

The choice is a fixed table and not a measurement at run time, so that all runs add in the same order and agree bitwise.
``python -m benchmarks tune`` measures candidates on a GPU; the table holds the results.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch

__all__ = ["Tiles", "tiles_for"]


@dataclass(frozen=True)
class Tiles:
    """One configuration of a kernel.

    Attributes:
        rows: Queries in a tile.
        keys: Keys in a tile.
        depth: Features multiplied at a time for the scores.
        out: Features of a gradient that a program computes; each chunk of features computes the scores again.
        warps: Warps per program.
        stages: Stages of software pipelining of the loads.
    """

    rows: int
    keys: int
    depth: int
    out: int
    warps: int
    stages: int

    def for_dim(self, dim: int) -> Tiles:
        """Shrink the feature sizes to the dimension, rounded up to a power of two of at least 16."""
        whole = max(16, 1 << max(0, dim - 1).bit_length())
        depth, out = min(self.depth, whole), min(self.out, whole)
        return Tiles(self.rows, self.keys, depth, out, self.warps, self.stages)

    def options(self, dim: int) -> dict[str, int | bool]:
        """Return the launch options of a kernel that computes scores, by name."""
        return {
            "BM": self.rows, "BK": self.keys, "BD": self.depth, "WHOLE": dim <= self.depth,
            "num_warps": self.warps, "num_stages": self.stages,
        }  # fmt: skip


# By kernel and bytes per element: the tiles up to a number of features. They are the fastest on an H100 (docs/gpu.md)
# of those that neither spill registers nor need too much shared memory on an A100 or a B200.
_TABLE: dict[tuple[str, int], tuple[tuple[float, Tiles], ...]] = {
    ("reduce", 2): (
        (128, Tiles(64, 128, 128, 64, 4, 3)),
        (256, Tiles(64, 64, 256, 64, 4, 2)),
        (inf, Tiles(128, 128, 64, 64, 8, 3)),
    ),
    ("add", 2): ((inf, Tiles(128, 128, 32, 64, 8, 4)),),
    ("weigh", 2): ((inf, Tiles(128, 128, 64, 64, 8, 3)),),
    ("grad_key", 2): (
        (64, Tiles(32, 64, 64, 64, 4, 2)),
        (128, Tiles(64, 64, 128, 128, 4, 2)),
        (256, Tiles(32, 64, 256, 256, 4, 2)),
        (inf, Tiles(64, 64, 64, 256, 8, 2)),
    ),
    ("grad_query", 2): (
        (64, Tiles(64, 64, 64, 64, 4, 3)),
        (128, Tiles(64, 32, 128, 128, 4, 2)),
        (256, Tiles(64, 32, 256, 256, 4, 2)),
        (inf, Tiles(64, 64, 64, 256, 8, 2)),
    ),
    ("add", 4): ((inf, Tiles(128, 64, 16, 32, 8, 3)),),
    ("reduce", 4): ((inf, Tiles(128, 64, 16, 32, 8, 3)),),
    ("grad_key", 4): ((inf, Tiles(32, 32, 32, 128, 8, 2)),),
    ("grad_query", 4): ((inf, Tiles(32, 32, 32, 128, 8, 2)),),
}

# The same where rows are no multiple of 16 long: features are loaded one at a time, which takes more registers. These
# tiles were chosen by compiling for all three chips, and have not been timed.
_ODD_SCORES = {2: ((inf, Tiles(128, 64, 64, 64, 8, 3)),), 4: ((inf, Tiles(128, 64, 16, 32, 8, 1)),)}
_ODD_GRADIENTS = {
    2: ((32, Tiles(64, 64, 64, 256, 4, 2)), (inf, Tiles(64, 64, 64, 256, 8, 2))),
    4: ((inf, Tiles(32, 32, 32, 128, 8, 1)),),
}


def tiles_for(kernel: str, dtype: torch.dtype, dim: int) -> Tiles:
    """Return the tiles of a kernel for a dtype and number of features.

    The kernels are ``"reduce"``, ``"add"``, ``"weigh"`` (for 2 bytes per element only), ``"grad_key"`` and
    ``"grad_query"``. ``"add"`` is the kernel ``"reduce"`` for sums of scores or of their squares, which needs smaller
    tiles: on a B200 it spills registers with larger ones.
    """
    size = dtype.itemsize
    table = _TABLE[kernel, size]
    if dim % 16:
        table = (_ODD_GRADIENTS if kernel.startswith("grad") else _ODD_SCORES)[size]
    return next(tiles for width, tiles in table if dim <= width).for_dim(dim)
