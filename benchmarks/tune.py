"""Times of the Triton kernels over the space of tile sizes, on a GPU; the backend's tile table is filled from them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from multiprocessing import get_context
from unittest import mock

import torch

from benchmarks.baselines import bare_products
from benchmarks.harness import DEVICE, Run, add_rounds, measure, queue, write

__all__ = ["add_options", "run"]


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options for rounds, kernels and the least number of features."""
    add_rounds(command)
    command.add_argument("--kernels", nargs="+", choices=PRODUCTS, default=list(PRODUCTS), help="which to time")
    command.add_argument("--least", type=int, default=0, metavar="D", help="only on this many features or more")


QUERIES, KEYS = 1024, 65536
NARROW = {torch.bfloat16: (64, 128, 256), torch.float32: (64, 128)}
"""The numbers of features for which the streaming kernels of the gradients are useful, by dtype."""
WIDE = (*NARROW[torch.bfloat16], 512, 2048)
QUEUED = 10
"""Launches between two waits for the device, so that the host runs ahead of it, as in a training."""
PRODUCTS = {"reduce": (1, 0), "weigh": (1, 0), "grad_key": (1, 1), "grad_query": (1, 1)}
"""Matrix products in each kernel: of scores, and of gradients."""

GRADIENT_OF_HALVES = (
    (64, 64, 64, 256, 8, 2),
    (64, 64, 64, 256, 4, 2),
    (64, 64, 128, 128, 4, 2),
    (64, 64, 128, 128, 4, 3),
    (128, 64, 128, 128, 8, 2),
    (64, 128, 128, 128, 8, 2),
    (128, 128, 128, 128, 8, 2),
    (128, 32, 128, 128, 4, 3),
    (32, 128, 128, 128, 4, 3),
    (64, 64, 256, 256, 8, 2),
    (32, 64, 256, 256, 4, 2),
    (64, 32, 256, 256, 4, 2),
    (128, 32, 256, 256, 8, 2),
    (32, 128, 256, 256, 8, 2),
    (128, 64, 256, 256, 8, 2),
    (64, 128, 256, 256, 8, 2),
)
GRADIENT_OF_SINGLES = (
    (32, 32, 32, 128, 8, 2),
    (32, 32, 32, 128, 4, 2),
    (64, 32, 32, 64, 4, 2),
    (32, 64, 32, 64, 4, 2),
    (64, 32, 32, 128, 8, 2),
    (32, 64, 32, 128, 8, 2),
    (64, 64, 16, 64, 8, 2),
    (64, 64, 16, 128, 8, 2),
)

SPACE = {
    ("reduce", 2): (
        (64, 64, 64, 64, 4, 3),
        (64, 128, 64, 64, 4, 3),
        (128, 64, 64, 64, 4, 3),
        (128, 128, 64, 64, 8, 3),
        (64, 64, 128, 64, 4, 3),
        (64, 128, 128, 64, 4, 3),
        (128, 64, 128, 64, 4, 3),
        (128, 64, 128, 64, 8, 3),
        (128, 128, 128, 64, 8, 3),
        (128, 128, 128, 64, 8, 2),
        (64, 64, 256, 64, 4, 2),
        (128, 64, 256, 64, 8, 2),
        (128, 128, 256, 64, 8, 2),
    ),
    ("weigh", 2): (
        (128, 128, 64, 64, 8, 3),
        (128, 128, 64, 64, 8, 4),
        (128, 128, 64, 64, 4, 3),
        (128, 256, 64, 64, 8, 3),
        (256, 128, 64, 64, 8, 3),
        (64, 256, 64, 64, 4, 3),
        (128, 64, 64, 64, 4, 4),
        (128, 128, 128, 64, 8, 2),
        (128, 128, 32, 64, 8, 4),
    ),
    ("grad_key", 2): GRADIENT_OF_HALVES,
    ("grad_query", 2): GRADIENT_OF_HALVES,
    ("reduce", 4): (
        (64, 64, 16, 32, 4, 3),
        (64, 64, 32, 32, 4, 3),
        (128, 64, 16, 32, 8, 3),
        (128, 64, 32, 32, 8, 3),
        (128, 128, 16, 32, 8, 3),
        (64, 32, 32, 32, 4, 3),
        (32, 64, 32, 32, 4, 3),
    ),
    ("grad_key", 4): GRADIENT_OF_SINGLES,
    ("grad_query", 4): GRADIENT_OF_SINGLES,
}
"""Candidates by kernel and bytes per element; each holds the fields of `infomax.ops.triton.config.Tiles`, in order."""


@dataclass(frozen=True)
class Trial:
    """One kernel with one set of tiles on one problem."""

    kernel: str
    dtype: torch.dtype
    dim: int
    tiles: tuple[int, ...]

    def prepared(self) -> Run:
        """Make the operands, and return a function that launches the kernel."""
        from infomax.ops.dispatch import implementation
        from infomax.ops.problem import Problem
        from infomax.ops.triton import launch
        from infomax.ops.triton.config import Tiles

        query, key = (torch.randn(n, self.dim, device=DEVICE, dtype=self.dtype) for n in (QUERIES, KEYS))
        problem = Problem(query, key, None, None, None, None, "logsumexp", self.dim**-0.5, None, None, 2**31)
        backend, tiles = implementation("triton"), Tiles(*self.tiles).for_dim(self.dim)
        value, weight = torch.full((QUERIES,), 11.0, device=DEVICE), torch.ones(QUERIES, device=DEVICE)

        if self.kernel == "weigh":
            from infomax.ops.blockwise import passes

            table = torch.empty(QUERIES, KEYS, device=DEVICE, dtype=self.dtype)

            def weighed() -> None:
                with mock.patch.object(passes, "tiles_for", return_value=tiles):
                    for _ in range(QUEUED):
                        passes.score_and_weigh(problem, slice(0, KEYS), value, weight, table)

            return weighed

        def launched() -> None:
            with mock.patch.object(launch, "tiles_for", return_value=tiles):  # these tiles, not the table's
                for _ in range(QUEUED):
                    if self.kernel == "reduce":
                        backend.forward(problem, False)
                    else:
                        of_query = self.kernel == "grad_query"
                        backend.backward(problem, weight, None, value, value[:0], of_query, not of_query)

        return launched


def trials() -> Iterator[Trial]:
    """Yield the trials of the whole space; tiles that shrink to the same at a width are tried once."""
    from infomax.ops.triton.config import Tiles  # here, because it needs Triton

    for (kernel, size), candidates in SPACE.items():
        dtype = torch.bfloat16 if size == 2 else torch.float32
        for dim in WIDE if size == 2 and kernel in ("reduce", "weigh") else NARROW[dtype]:
            for tiles in dict.fromkeys(Tiles(*candidate).for_dim(dim) for candidate in candidates):
                yield Trial(kernel, dtype, dim, astuple(tiles))


def run(options: argparse.Namespace) -> None:
    if DEVICE != "cuda":
        print("tune: needs a CUDA device; skipped")
        return
    every = [trial for trial in trials() if trial.kernel in options.kernels and trial.dim >= options.least]
    every = every[: 4 if options.smoke else None]
    whole = not options.smoke and options.least == 0 and set(options.kernels) == set(PRODUCTS)
    with ProcessPoolExecutor(min(14, os.cpu_count() or 1), get_context("spawn")) as pool:
        failures = dict(zip(every, pool.map(failure, every), strict=True))  # this also fills Triton's cache
    rows: list[dict] = []
    for kernel, dtype, dim in dict.fromkeys((trial.kernel, trial.dtype, trial.dim) for trial in every):
        here = [trial for trial in every if (trial.kernel, trial.dtype, trial.dim) == (kernel, dtype, dim)]
        runs = {str(trial.tiles): trial.prepared() for trial in here if not failures[trial]}
        query, key = (torch.randn(n, dim, device=DEVICE, dtype=dtype) for n in (QUERIES, KEYS))
        bare = bare_products(query, key, *PRODUCTS[kernel])
        timings = measure({"bare": queue(bare, QUEUED), **runs}, options.rounds)
        for trial in here:
            timing = timings.get(str(trial.tiles))
            rows.append({
                "kernel": kernel, "dtype": str(dtype).removeprefix("torch."), "d": dim,
                "rows, keys, depth, out, warps, stages": ", ".join(map(str, trial.tiles)),
                "ms": timing.milliseconds / QUEUED if timing else None,
                "over bare products": timing.over(timings["bare"]) if timing else None,
                "note": failures[trial],
            })  # fmt: skip
        keep(rows, whole=whole)


def keep(rows: list[dict], *, whole: bool) -> None:
    """Print the rows so far; write them to the file only if the run covers the whole space."""
    rows.sort(key=lambda row: (row["kernel"], row["dtype"], row["d"], row["ms"] or float("inf")))
    title = f"Kernels of the Triton backend by tiles: {QUERIES} queries, {KEYS} keys, without groups; best first"
    write("tune", title, rows, keep=whole)


def failure(trial: Trial) -> str:
    """Launch the kernel once; return the error as text, or an empty string."""
    try:
        trial.prepared()()
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 (tiles that do not fit are a result)
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]
    return ""
