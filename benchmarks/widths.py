"""The pairwise log-sum-exp on a GPU at five widths, each path against the matrix products alone; with a plot."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.baselines import bare_products
from benchmarks.harness import DEVICE, RESULTS, Run, add_rounds, measure, pyplot, queue, write
from benchmarks.memory import peak_bytes
from infomax.ops import pairwise_with_joint, use_backend, use_workspace

__all__ = ["add_options", "run"]

add_options = add_rounds

LOCATIONS = 64
SIZES = [(n, d) for n in (256, 1024) for d in (64, 128, 256, 512, 2048)]
LARGE = [(8192, 512)]
SMOKE = [(8, 16)]
QUEUED = 5
"""Passes between two waits for the device, so that the host runs ahead of it, as in a training."""
MOST_STREAMED = 256
"""The most float32 features that the streaming kernels are timed on; with more, a pass takes seconds."""
TITLE = "The pairwise log-sum-exp with joint pairs, forward and backward; five passes between two waits for the device"
RECOMPUTE = 2**26
"""A workspace so small that only the smallest tables of `SIZES` are kept; the others are computed again."""


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    rows: list[dict] = []
    for examples, dim in SMOKE if smoke or DEVICE == "cpu" else SIZES + LARGE:
        for dtype in (torch.bfloat16, torch.float32):
            if (examples, dim) in LARGE and dtype == torch.float32:
                continue
            rows += _case(examples, dim, dtype, rounds)
            write("widths", TITLE, rows, keep=not smoke)
    if not smoke and DEVICE == "cuda":
        picture(rows, RESULTS / f"widths-{DEVICE}.png")


def picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw milliseconds against features for N = 1024, with a panel per dtype."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, dtype in zip(axes, ("bfloat16", "float32"), strict=True):
        for name in ("4 bare products", "chosen", "streaming", "blockwise, 64 MiB"):
            here = [row for row in rows if (row["dtype"], row["what"], int(row["N"])) == (dtype, name, 1024)]
            here = [row for row in here if row.get("ms")]
            axis.plot([int(row["d"]) for row in here], [float(row["ms"]) for row in here], "o-", label=name)
        axis.set(xscale="log", yscale="log", title=f"N = 1024, P = {LOCATIONS}, {dtype}", xlabel="features d")
        axis.set_xticks([64, 128, 256, 512, 2048], ["64", "128", "256", "512", "2048"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds, forward and backward")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _case(examples: int, dim: int, dtype: torch.dtype, rounds: int) -> list[dict]:
    keys = examples * LOCATIONS
    query = (torch.randn(examples, dim, device=DEVICE) * dim**-0.5).to(dtype).requires_grad_()
    key = torch.randn(keys, dim, device=DEVICE).to(dtype).requires_grad_()
    group = torch.arange(examples, device=DEVICE)
    key_group, every = group.repeat_interleave(LOCATIONS), torch.arange(keys, device=DEVICE)

    def ours(backend: str | None, space: int | None = None) -> Run:
        def step() -> object:
            with use_backend(backend):
                value, joint = pairwise_with_joint(
                    "logsumexp", query, key, group, key_group, key_group, every, scale=0.5
                )
            return torch.autograd.grad(value.sum() - joint.sum(), [query, key])

        if space is None:
            return step

        def bounded() -> object:
            with use_workspace(space):
                return step()

        return bounded

    candidates = {
        "3 bare products": bare_products(query.detach(), key.detach(), 1),
        "4 bare products": bare_products(query.detach(), key.detach(), 2),
        "chosen": ours(None),
    }
    if DEVICE == "cuda":
        candidates["blockwise"] = ours("blockwise")
        candidates["blockwise, 64 MiB"] = ours("blockwise", RECOMPUTE)
        if dtype != torch.float32 or dim <= MOST_STREAMED:
            candidates["streaming"] = ours("triton")
    failed = {}
    for name in list(candidates):
        try:
            candidates[name]()
        except Exception as error:  # noqa: BLE001 (a failure is a result, and the others go on)
            failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            del candidates[name]
    queued = {name: queue(run, QUEUED) for name, run in candidates.items()}
    timings = measure(queued, rounds, warm_up=1)
    where = {"N": examples, "P": LOCATIONS, "d": dim, "dtype": str(dtype).removeprefix("torch.")}
    rows: list[dict] = []
    for name, candidate in candidates.items():
        rows.append({
            **where,
            "what": name,
            "ms": timings[name].milliseconds / QUEUED,
            "over 4 products": timings[name].over(timings["4 bare products"]),
            "peak MiB": peak_bytes(candidate, DEVICE) / 2**20,
            "note": "",
        })  # fmt: skip
    return rows + [{**where, "what": name, "note": why} for name, why in failed.items()]
