"""A whole training step (encoder, critic and loss, forward and backward), with our loss and the written-out one.

Both have the 2048 units of the paper, unless a row says otherwise.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from benchmarks.baselines import MOST_BYTES, written_out_bytes, written_out_infonce
from benchmarks.harness import DEVICE, Run, add_rounds, measure, write
from benchmarks.memory import peak_bytes
from infomax import LocalDIMLoss
from infomax.encoders import conv32

__all__ = ["add_options", "run"]

add_options = add_rounds

BATCHES = (32, 64, 128)


class _WrittenOut(nn.Module):
    """The written-out loss, with its table of logits, on the scores of the same critic."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        scores = self.critic(local, global_)
        return written_out_infonce(scores.key.unflatten(0, (len(global_), -1)), scores.scale * scores.query)


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    rows = []
    for batch in (4,) if smoke else BATCHES:
        encoder = conv32().to(DEVICE)
        images = torch.randn(batch, 3, 32, 32, device=DEVICE)
        local, global_ = encoder(images)
        ours = LocalDIMLoss(local_dim=local.shape[1], global_dim=global_.shape[1], units=64 if smoke else 2048)
        ours = ours.to(DEVICE)
        written_out = _WrittenOut(ours.critic)
        candidates = {"ours": _step(encoder, ours, images)}
        narrow = {n: LocalDIMLoss(local.shape[1], global_.shape[1], units=n).to(DEVICE) for n in (256, 512)}
        candidates |= {f"ours, {units} units": _step(encoder, loss, images) for units, loss in narrow.items()}
        if written_out_bytes(batch, local[0, 0].numel()) <= MOST_BYTES:
            torch.testing.assert_close(ours(local, global_), written_out(local, global_), rtol=1e-4, atol=1e-4)
            candidates["written out"] = _step(encoder, written_out, images)
        candidates["encoder alone"] = _step(encoder, _Sum(), images)
        timings = measure(candidates, rounds, warm_up=1)
        parameters = [p for module in (encoder, ours, *narrow.values()) for p in module.parameters()]
        for name, candidate in candidates.items():
            for parameter in parameters:
                parameter.grad = None  # left by the previous candidate
            rows.append({
                "N": batch,
                "loss": name,
                "ms": timings[name].milliseconds,
                "over ours": timings[name].over(timings["ours"]),
                "peak MiB": peak_bytes(candidate, DEVICE) / 2**20,
            })  # fmt: skip
    write("step", "A training step of the paper's encoder on 32 x 32 images, local InfoNCE", rows, keep=not smoke)


class _Sum(nn.Module):
    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return local.sum() + global_.sum()


def _step(encoder: nn.Module, loss: nn.Module, images: Tensor) -> Run:
    parameters = [*encoder.parameters(), *loss.parameters()]

    def run_once() -> None:
        for parameter in parameters:
            parameter.grad = None
        loss(*encoder(images)).backward()

    return run_once
