"""The work of each path of the pairwise ops on an H100, counted and not measured: flops, bytes, launches, time bound.

The counts come from the same plans and tile tables as the launches. The times are the counts divided by the rates of
the data sheet; none of them has been measured.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.harness import RESULTS, table
from infomax.ops.blockwise.plan import Plan, may_keep
from infomax.ops.problem import Problem
from infomax.ops.settings import GPU_SHARE

if TYPE_CHECKING:
    from infomax.ops.triton.config import Tiles

__all__ = ["add_options", "run"]

# Rates of an H100 SXM5 from NVIDIA's data sheet, without sparsity.
TENSOR_FLOPS, FLOAT32_FLOPS, HBM = 989e12, 67e12, 3.35e12
MEMORY = 80 * 2**30
LOCATIONS = 64
EXAMPLES, DIMS = (256, 1024, 8192), (128, 512, 2048)


@dataclass(frozen=True)
class Count:
    """The work of one forward and backward pass."""

    path: str
    products: float
    main: float
    """Bytes read from and written to main memory."""
    launches: int
    workspace: float
    """Bytes allocated besides inputs, gradients and vectors."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add no options: nothing is measured."""


def run(options: argparse.Namespace) -> None:
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        for examples in EXAMPLES[:1] if options.smoke else EXAMPLES:
            for dim in DIMS:
                rows += _rows(examples, dim, dtype)
    title = (
        f"Forward and backward of a log-sum-exp with joint pairs, N globals against N x {LOCATIONS} locations, on an "
        f"H100:\n{TENSOR_FLOPS / 1e12:.0f} Tflop/s in bfloat16, {FLOAT32_FLOPS / 1e12:.0f} in float32, "
        f"{HBM / 1e12} TB/s from memory.\n"
        "Counted, not measured. 'at least' is the slower of the two taken alone, 'at most' their sum, over four "
        "bare products."
    )
    text = f"{title}\n\n{table(rows)}\n"
    print(text)
    if options.smoke:
        return
    (RESULTS / "roofline-h100.txt").write_text(text)
    with (RESULTS / "roofline-h100.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(examples: int, dim: int, dtype: torch.dtype) -> list[dict]:
    flops = 2.0 * examples * examples * LOCATIONS * dim
    rate = FLOAT32_FLOPS if dtype == torch.float32 else TENSOR_FLOPS
    rows = []
    for count in _paths(examples, dim, dtype):
        times = {
            "products": count.products * flops / rate,
            "memory": count.main / HBM,
        }
        bare = 4 * flops / rate
        rows.append({
            "N": examples,
            "d": dim,
            "dtype": str(dtype).removeprefix("torch."),
            "path": count.path,
            "products": count.products,
            "Tflop": count.products * flops / 1e12,
            "memory GB": count.main / 1e9,
            "launches": count.launches,
            "workspace MB": count.workspace / 1e6,
            "bound by": max(times, key=lambda name: times[name]),
            "at least ms": 1e3 * max(times.values()),
            "at least": max(times.values()) / bare,
            "at most": sum(times.values()) / bare,
        })  # fmt: skip
    return rows


def _paths(examples: int, dim: int, dtype: torch.dtype) -> list[Count]:
    paths = [_streaming(examples, dim, dtype), _blockwise(examples, dim, dtype, keep=False)]
    if may_keep(examples, examples * LOCATIONS, "logsumexp", dtype, MEMORY // GPU_SHARE):
        paths.append(_blockwise(examples, dim, dtype, keep=True))
    return paths


def _streaming(examples: int, dim: int, dtype: torch.dtype) -> Count:
    """Count the work of the streaming path.

    A gradient kernel reads its inputs once per chunk of features; other reads and all writes happen once. This assumes
    that tiles that share data find it in the L2 cache.
    """
    size, keys = dtype.itemsize, examples * LOCATIONS
    inputs, main, products, held = (examples + keys) * dim * size, 0.0, 1, 0.0
    for kernel in ("grad_key", "grad_query"):
        tiles = _tiles(kernel, dtype, dim)
        chunks = math.ceil(dim / tiles.out)
        products, main = products + 1 + chunks, main + inputs * chunks
        held = max(1, 512 // (math.ceil(examples / tiles.rows) * chunks)) * examples * dim * 4.0
    return Count("streaming", products, main + 2 * inputs + 2 * held, 7, held)


def _blockwise(examples: int, dim: int, dtype: torch.dtype, *, keep: bool) -> Count:
    size, keys = dtype.itemsize, examples * LOCATIONS
    query, key = (torch.empty(n, dim, dtype=dtype, device="meta") for n in (examples, keys))
    plan = Plan.of(Problem(query, key, None, None, None, None, "logsumexp", 1.0, None, None, MEMORY // GPU_SHARE))
    scores, blocks, panels = float(examples) * keys, len(plan.rows) * len(plan.blocks(slice(0, keys))), len(plan.panels)
    halves = size == 2
    # Tables that are written and read again. Two products read the weights; one kernel reads float32 scores, and
    # another kernel reads the kept slopes.
    passes = 0 if halves else 1 if keep else 2
    main = scores * (3 * size + 8 * passes + (8 if keep else 0))
    # Keys that the products of the scores read: twice in half precision, else once per pass and block of queries.
    main += (2 if halves else passes * len(plan.rows)) * keys * dim * size
    # Gradients and the operands of their products. Half-precision gradients are summed in float32 by chunks, and then
    # rounded.
    main += (2 * keys + examples) * dim * size + (8.0 * keys * dim if halves else 0) + 8.0 * examples * dim * panels
    chunks = sum(len(plan.chunks(panel)) for panel in plan.panels) if halves else panels
    launches = (2 if halves else (3 if keep else 5) * blocks + 2) + panels * (2 if keep or halves else 1) + 2 * chunks
    panel = examples * float(_longest(plan.panels)) * size
    held = (4 * scores if keep else 0.0) + panel + 4.0 * examples * dim + 4 * 2**25
    return Count("blockwise, kept" if keep else "blockwise", 3 if keep else 4, main, launches + 2, held)


def _tiles(kernel: str, dtype: torch.dtype, dim: int) -> Tiles:
    try:
        from infomax.ops.triton.config import tiles_for
    except ImportError as error:
        raise SystemExit("roofline: needs Triton installed, for its tables") from error
    return tiles_for(kernel, dtype, dim)


def _longest(parts: tuple[slice, ...]) -> int:
    return max(part.stop - part.start for part in parts)
