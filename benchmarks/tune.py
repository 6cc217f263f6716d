"""The space of tile sizes, measured on a GPU: what the table of the Triton backend is filled from."""

from __future__ import annotations

import argparse
from unittest import mock

import torch

from benchmarks.harness import DEVICE, add_rounds, measure, write
from infomax.ops import pairwise_logsumexp, use_backend

__all__ = ["add_options", "run"]

add_options = add_rounds

SIZES = [(1024, 65536, 64), (1024, 65536, 128), (1024, 65536, 512), (4096, 65536, 256)]


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    if DEVICE != "cuda":
        print("tune: needs a CUDA device; skipped")
        return
    from infomax.ops.triton import config, launch

    rows = []
    for queries, keys, dim in SIZES[:1] if smoke else SIZES:
        for dtype in (torch.bfloat16, torch.float32):
            query = torch.randn(queries, dim, device=DEVICE, dtype=dtype, requires_grad=True)
            key = torch.randn(keys, dim, device=DEVICE, dtype=dtype, requires_grad=True)
            value = None
            for tiles in config.SPACE:
                # Whatever is asked for, these tiles.
                chosen = mock.patch.object(launch, "tiles_for", lambda *_, t=tiles, d=dim: t.for_dim(d))
                with chosen, use_backend("triton"):
                    row = {"M, K, d": f"{queries}, {keys}, {dim}", "dtype": str(dtype), "tiles": str(tiles)}
                    try:
                        value = pairwise_logsumexp(query, key)
                        timings = measure(
                            {
                                "forward": lambda q=query, k=key: pairwise_logsumexp(q.detach(), k.detach()),
                                "backward": lambda v=value, q=query, k=key: torch.autograd.grad(
                                    v.sum(), [q, k], retain_graph=True
                                ),
                            },
                            rounds,
                        )
                    except Exception as error:  # noqa: BLE001 (a tile that does not fit is a result)
                        rows.append({**row, "forward ms": None, "backward ms": None, "failed": type(error).__name__})
                        continue
                rows.append({
                    **row,
                    "forward ms": timings["forward"].milliseconds,
                    "backward ms": timings["backward"].milliseconds,
                    "failed": None,
                })  # fmt: skip
    write("tune", "Tile sizes of the Triton backend", rows, keep=not smoke)
