"""What each path of the pairwise ops must do on an H100, counted and not measured: flops, bytes, launches, and a bound.

The counts come from the same plans and tables as the launches. Times are the counts over the rates of the data sheet:
none of them has been measured.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass

import torch

from benchmarks.harness import RESULTS, table
from infomax.ops.blockwise.plan import Plan, kept_dtype, may_keep
from infomax.ops.problem import Problem
from infomax.ops.settings import GPU_SHARE

__all__ = ["add_options", "run"]

# H100 SXM5 by NVIDIA's data sheet, dense; the L2 rate is no official figure but what microbenchmarks report.
TENSOR_FLOPS, FLOAT32_FLOPS, HBM, L2 = 989e12, 67e12, 3.35e12, 5.5e12
MEMORY = 80 * 2**30
LOCATIONS = 64
EXAMPLES, DIMS = (256, 1024, 8192), (128, 512, 2048)


@dataclass(frozen=True)
class Count:
    """What one forward and backward pass does."""

    path: str
    products: float
    main: float
    """Bytes to and from main memory."""
    cached: float
    """Bytes that a block's size keeps in the L2 cache."""
    launches: int
    workspace: float
    """Bytes beside inputs, gradients and vectors."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Take none: nothing is measured."""


def run(options: argparse.Namespace) -> None:
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        for examples in EXAMPLES[:1] if options.smoke else EXAMPLES:
            for dim in DIMS:
                rows += _rows(examples, dim, dtype)
    title = (
        f"Forward and backward of a log-sum-exp with joint pairs, N globals against N x {LOCATIONS} locations, on an "
        f"H100:\n{TENSOR_FLOPS / 1e12:.0f} Tflop/s in bfloat16, {FLOAT32_FLOPS / 1e12:.0f} in float32, "
        f"{HBM / 1e12} TB/s from memory, {L2 / 1e12} TB/s from L2.\n"
        "Counted, not measured. 'at least' is the slowest of the three taken alone, 'at most' their sum, over four "
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
            "L2": count.cached / L2,
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
            "L2 GB": count.cached / 1e9,
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
    """Each kernel reads its inputs and writes its results once; tiles that share them find them in the L2 cache."""
    try:
        from infomax.ops.triton.config import tiles_for
    except ImportError as error:
        raise SystemExit("roofline: needs Triton installed, for its tables") from error
    size, keys = dtype.itemsize, examples * LOCATIONS
    tiles = tiles_for("gradient", dtype, dim)
    chunks = math.ceil(dim / tiles.out)
    inputs, parts = (examples + keys) * dim * size, max(1, 512 // (math.ceil(examples / tiles.rows) * chunks))
    partial = parts * examples * dim * 4.0
    main = inputs * (1 + 2 * chunks) + inputs + 2 * partial
    return Count("streaming", 1 + 2 * (1 + chunks), main, 0.0, 9, partial)


def _blockwise(examples: int, dim: int, dtype: torch.dtype, *, keep: bool) -> Count:
    size, keys = dtype.itemsize, examples * LOCATIONS
    query, key = (torch.empty(n, dim, dtype=dtype, device="meta") for n in (examples, keys))
    plan = Plan.of(Problem(query, key, None, None, None, None, "logsumexp", 1.0, None, None, MEMORY // GPU_SHARE))
    scores, blocks = float(examples) * keys, len(plan.rows) * len(plan.blocks(slice(0, keys)))
    passes = 1 if keep else 2
    kept = kept_dtype("logsumexp", dtype).itemsize
    # A pass over the scores: written by a product, read by a kernel, in the L2 cache. Operands of each block's product.
    cached = passes * 8 * scores
    operands = passes * len(plan.rows) * keys * dim * size + passes * blocks * _longest(plan.rows) * dim * size
    # Weights are written once and read by two products; kept slopes are written and read.
    weights = scores * (3 * size + (2 * kept if keep else 0))
    # Gradients of halves: summed in float32 in chunks that stay in the L2 cache, rounded into place.
    panels = len(plan.panels)
    gradients = (keys + examples) * dim * size + 8.0 * examples * dim * panels
    cached += 8.0 * keys * dim if size == 2 else 0
    main = weights + operands + gradients + panels * examples * dim * size + keys * dim * size
    chunks = sum(len(plan.chunks(panel)) for panel in plan.panels) if size == 2 else panels
    of_queries = 1 + (panels - 1) * (2 * len(plan.chunks(slice(0, examples))) if size == 2 else 1)
    launches = 3 * blocks + 2 + (0 if keep else 2 * blocks) + panels * (2 if keep else 1) + 2 * chunks + of_queries
    panel = examples * float(_longest(plan.panels)) * size
    held = (scores * kept if keep else 0.0) + panel + 4.0 * examples * dim + 2 * 2**24
    return Count("blockwise, kept" if keep else "blockwise", 3 if keep else 4, main, cached, launches, held)


def _longest(parts: tuple[slice, ...]) -> int:
    return max(part.stop - part.start for part in parts)
