"""InfoNCE of two towers beside the fused losses that pip brings, each on its own example; they need a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as nnf

from benchmarks.harness import DEVICE, Run, measure, write
from benchmarks.memory import peak_bytes
from infomax import functional as F

__all__ = ["run"]

Loss = Callable[[Tensor, Tensor], Tensor]


def run(rounds: int, smoke: bool) -> None:
    """Cases are (package, N, d, temperature, both ways), from the examples in each package's own pages."""
    rows = []
    for package, examples, dim, temperature, both in (
        ("inf_cl", 32768, 768, 0.02, False),
        ("memeff", 32768, 1152, 0.07, True),
    ):
        rows += _case(package, 64 if smoke else examples, 32 if smoke else dim, temperature, both, rounds)
    write("peers", "InfoNCE of two towers of N vectors, forward and backward, float32", rows, keep=not smoke)


def _case(package: str, examples: int, dim: int, temperature: float, both: bool, rounds: int) -> list[dict]:
    left, right = (nnf.normalize(torch.randn(examples, dim, device=DEVICE), dim=1).requires_grad_() for _ in range(2))
    losses: dict[str, Loss] = {
        "ours": lambda a, b: _ours(a, b, temperature, both),
        "written out": lambda a, b: _written_out(a, b, temperature, both),
    }
    skipped = {}
    peer = _peer(package, temperature)
    if isinstance(peer, str):
        skipped[package] = peer
    else:
        losses[package] = peer
    expected = losses["ours"](left, right)
    candidates: dict[str, Run] = {}
    for name, loss in losses.items():
        torch.testing.assert_close(loss(left, right), expected, rtol=1e-3, atol=1e-3)
        candidates[name] = lambda loss=loss: torch.autograd.grad(loss(left, right), [left, right])
    timings = measure(candidates, rounds)
    where = {"example of": package, "N, d": f"{examples}, {dim}"}
    rows: list[dict] = [
        {
            **where,
            "loss": name,
            "ms": timings[name].milliseconds,
            "over ours": timings[name].over(timings["ours"]),
            "peak MiB": peak_bytes(candidate, DEVICE) / 2**20,
            "note": "",
        }
        for name, candidate in candidates.items()
    ]
    return rows + [{**where, "loss": name, "note": f"skipped: {why}"} for name, why in skipped.items()]


def _ours(left: Tensor, right: Tensor, temperature: float, both: bool) -> Tensor:
    loss = F.infonce_loss(F.dot_scores(right, left, scale=1 / temperature))
    return (loss + F.infonce_loss(F.dot_scores(left, right, scale=1 / temperature))) / 2 if both else loss


def _written_out(left: Tensor, right: Tensor, temperature: float, both: bool) -> Tensor:
    scores, target = left @ right.T / temperature, torch.arange(len(left), device=left.device)
    loss = nnf.cross_entropy(scores, target)
    return (loss + nnf.cross_entropy(scores.T, target)) / 2 if both else loss


def _peer(package: str, temperature: float) -> Loss | str:
    """The package's loss, or why it is left out."""
    if DEVICE != "cuda":
        return "needs a GPU"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        return f"cannot be imported: {error}"
    if package == "inf_cl":
        # It takes features in heads of 256.
        return lambda a, b: module.cal_flash_loss(a, b, scale=1 / temperature, head_dim=256).mean()
    loss: Loss = module.MemoryEfficientCLIPLoss(temperature=temperature, normalized_inputs=True, stable=False)
    return loss
