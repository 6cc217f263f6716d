"""Time and memory of InfoNCE against the batch size, for our loss and the written-out formula; with a plot."""

from __future__ import annotations

import argparse

import torch

from benchmarks.baselines import MOST_BYTES, written_out_bytes, written_out_infonce
from benchmarks.harness import DEVICE, RESULTS, add_rounds, measure, pyplot, write
from benchmarks.memory import peak_bytes
from infomax import functional as F

__all__ = ["add_options", "run"]

add_options = add_rounds

LOCATIONS, DIM = 64, 128
BATCHES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    rows = []
    for batch in (4, 8) if smoke else BATCHES:
        global_ = (DIM**-0.5 * torch.randn(batch, DIM, device=DEVICE)).requires_grad_()
        local = torch.randn(batch, LOCATIONS, DIM, device=DEVICE).requires_grad_()

        def ours(local=local, global_=global_) -> object:
            return torch.autograd.grad(F.infonce_loss(F.dot_scores(local.transpose(1, 2), global_)), [local, global_])

        def written_out(local=local, global_=global_) -> object:
            return torch.autograd.grad(written_out_infonce(local, global_), [local, global_])

        candidates = {"ours": ours}
        need = written_out_bytes(batch, LOCATIONS)
        if need <= MOST_BYTES:
            candidates["written out"] = written_out
        few = rounds if batch <= 512 else min(rounds, 3) if batch <= 2048 else 1
        timings = measure(candidates, few, warm_up=1 if batch <= 2048 else 0)
        for name, candidate in candidates.items():
            rows.append({
                "N": batch,
                "loss": name,
                "ms": timings[name].milliseconds,
                "over ours": timings[name].over(timings["ours"]),
                "peak MiB": peak_bytes(candidate, DEVICE) / 2**20,
                "note": "",
            })  # fmt: skip
        if need > MOST_BYTES:
            rows.append({"N": batch, "loss": "written out", "note": f"skipped: {need / 2**30:.0f} GiB"})
        print(rows[-2] if need > MOST_BYTES else rows[-1], flush=True)
    title = f"InfoNCE forward and backward, {LOCATIONS} locations, {DIM} features; peaks include the gradients"
    write("scaling", title, rows, keep=not smoke)
    if not smoke:
        _plot(rows)


def _plot(rows: list[dict]) -> None:
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, column in zip(axes, ("ms", "peak MiB"), strict=True):
        for name, mark in (("ours", "o-"), ("written out", "s--")):
            points = [(row["N"], row[column]) for row in rows if row["loss"] == name and not row["note"]]
            axis.loglog(*zip(*points, strict=True), mark, label=name, base=2)
        axis.set(xlabel="batch size N", ylabel=column)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(RESULTS / f"scaling-{DEVICE}.png", dpi=130)
