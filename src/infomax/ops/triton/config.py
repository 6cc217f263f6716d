"""Tile sizes: a small space, and the choice from it.

The choice is a table, not a measurement at run time, so that two runs add up in the same order and agree bitwise.
``SPACE`` is what ``python -m benchmarks tune`` goes through on a GPU; the table holds what it found.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch

__all__ = ["SPACE", "Tiles", "tiles_for"]


@dataclass(frozen=True)
class Tiles:
    """One configuration of a kernel.

    Attributes:
        rows: Queries in a tile.
        keys: Keys in a tile.
        depth: Features multiplied at a time for the scores.
        out: Features of a gradient that a program owns; scores are computed again for each further chunk.
        warps: Warps of a program.
        stages: Loads in flight.
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
        """Return what a kernel of scores is launched with, by name."""
        return {
            "BM": self.rows, "BK": self.keys, "BD": self.depth, "WHOLE": dim <= self.depth,
            "num_warps": self.warps, "num_stages": self.stages,
        }  # fmt: skip


_GRADIENT_OF_HALVES = (
    Tiles(64, 64, 64, 256, 8, 2),
    Tiles(64, 64, 64, 256, 4, 2),
    Tiles(64, 64, 128, 128, 4, 2),
    Tiles(64, 64, 128, 128, 4, 3),
    Tiles(128, 64, 128, 128, 8, 2),
    Tiles(64, 128, 128, 128, 8, 2),
    Tiles(128, 128, 128, 128, 8, 2),
    Tiles(128, 32, 128, 128, 4, 3),
    Tiles(32, 128, 128, 128, 4, 3),
    Tiles(64, 64, 256, 256, 8, 2),
    Tiles(32, 64, 256, 256, 4, 2),
    Tiles(64, 32, 256, 256, 4, 2),
    Tiles(128, 32, 256, 256, 8, 2),
    Tiles(32, 128, 256, 256, 8, 2),
    Tiles(128, 64, 256, 256, 8, 2),
    Tiles(64, 128, 256, 256, 8, 2),
)
_GRADIENT_OF_SINGLES = (
    Tiles(32, 32, 32, 128, 8, 2),
    Tiles(32, 32, 32, 128, 4, 2),
    Tiles(64, 32, 32, 64, 4, 2),
    Tiles(32, 64, 32, 64, 4, 2),
    Tiles(64, 32, 32, 128, 8, 2),
    Tiles(32, 64, 32, 128, 8, 2),
    Tiles(64, 64, 16, 64, 8, 2),
    Tiles(64, 64, 16, 128, 8, 2),
)

# By kernel and bytes of an element.
SPACE = {
    ("reduce", 2): (
        Tiles(64, 64, 64, 64, 4, 3),
        Tiles(64, 128, 64, 64, 4, 3),
        Tiles(128, 64, 64, 64, 4, 3),
        Tiles(128, 128, 64, 64, 8, 3),
        Tiles(64, 64, 128, 64, 4, 3),
        Tiles(64, 128, 128, 64, 4, 3),
        Tiles(128, 64, 128, 64, 4, 3),
        Tiles(128, 64, 128, 64, 8, 3),
        Tiles(128, 128, 128, 64, 8, 3),
        Tiles(128, 128, 128, 64, 8, 2),
        Tiles(64, 64, 256, 64, 4, 2),
        Tiles(128, 64, 256, 64, 8, 2),
        Tiles(128, 128, 256, 64, 8, 2),
    ),
    ("weigh", 2): (
        Tiles(128, 128, 64, 64, 8, 3),
        Tiles(128, 128, 64, 64, 8, 4),
        Tiles(128, 128, 64, 64, 4, 3),
        Tiles(128, 256, 64, 64, 8, 3),
        Tiles(256, 128, 64, 64, 8, 3),
        Tiles(64, 256, 64, 64, 4, 3),
        Tiles(128, 64, 64, 64, 4, 4),
        Tiles(128, 128, 128, 64, 8, 2),
        Tiles(128, 128, 32, 64, 8, 4),
    ),
    ("grad_key", 2): _GRADIENT_OF_HALVES,
    ("grad_query", 2): _GRADIENT_OF_HALVES,
    ("reduce", 4): (
        Tiles(64, 64, 16, 32, 4, 3),
        Tiles(64, 64, 32, 32, 4, 3),
        Tiles(128, 64, 16, 32, 8, 3),
        Tiles(128, 64, 32, 32, 8, 3),
        Tiles(128, 128, 16, 32, 8, 3),
        Tiles(64, 32, 32, 32, 4, 3),
        Tiles(32, 64, 32, 32, 4, 3),
    ),
    ("grad_key", 4): _GRADIENT_OF_SINGLES,
    ("grad_query", 4): _GRADIENT_OF_SINGLES,
}

# By kernel and bytes of an element: up to which width, and the tiles. The fastest on an H100 (docs/gpu.md) that neither
# spill nor take too much shared memory on an A100 or a B200.
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

# Rows of such a length load a feature at a time, which takes registers.
_ODD = Tiles(128, 64, 64, 64, 8, 3)


def tiles_for(kernel: str, dtype: torch.dtype, dim: int) -> Tiles:
    """Return the tiles of a kernel for a dtype and dimension: of the names in `SPACE`, or ``"add"``.

    That is the kernel ``"reduce"`` where it sums scores or their squares: on a B200 it spills with larger tiles.
    """
    if kernel in ("reduce", "add", "weigh") and dtype.itemsize == 2 and dim % 16:
        return _ODD.for_dim(dim)
    return next(tiles for width, tiles in _TABLE[kernel, dtype.itemsize] if dim <= width).for_dim(dim)
