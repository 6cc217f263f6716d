"""InfoNCE of two towers against fused losses of other packages, each on its own example; these need a GPU."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as nnf

from benchmarks.harness import DEVICE, Run, add_rounds, measure, write
from benchmarks.memory import peak_bytes
from infomax import functional as F

__all__ = ["add_options", "run"]

add_options = add_rounds

Loss = Callable[[Tensor, Tensor], Tensor]


# Package, N, d, temperature, both directions, dtype. The float32 cases are from the documentation of each package.
CASES = [
    ("inf_cl", 32768, 768, 0.02, False, torch.float32),
    ("memeff", 32768, 1152, 0.07, True, torch.float32),
    ("inf_cl", 65536, 512, 0.02, False, torch.bfloat16),
    ("memeff", 65536, 512, 0.07, True, torch.bfloat16),
    ("memeff", 65536, 384, 0.07, True, torch.bfloat16),
]


def run(options: argparse.Namespace) -> None:
    """Compare the losses on each case; a loss that cannot run is reported and skipped."""
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    rows = []
    for package, examples, dim, temperature, both, dtype in CASES:
        sizes = (64, 32) if smoke else (examples, dim)
        rows += _case(package, *sizes, temperature, both, dtype, rounds)
        write("peers", "InfoNCE of two towers of N vectors, forward and backward", rows, keep=not smoke)


def _case(
    package: str, examples: int, dim: int, temperature: float, both: bool, dtype: torch.dtype, rounds: int
) -> list[dict]:
    left, right = (
        nnf.normalize(torch.randn(examples, dim, device=DEVICE), dim=1).to(dtype).requires_grad_() for _ in range(2)
    )
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
    close = 1e-3 if dtype == torch.float32 else 3e-2
    for name, loss in losses.items():
        candidate = lambda loss=loss: torch.autograd.grad(loss(left, right), [left, right])  # noqa: E731
        try:
            torch.testing.assert_close(loss(left, right).float(), expected.float(), rtol=close, atol=close)
            candidate()
        except Exception as error:  # noqa: BLE001 (a failure is a result, also for lack of memory)
            skipped[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:120]
            continue
        candidates[name] = candidate
    timings = measure(candidates, rounds)
    where = {
        "example of": package,
        "N, d": f"{examples}, {dim}",
        "dtype": str(dtype).removeprefix("torch."),
    }
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
    """Return the loss of a package, or why it is skipped."""
    if DEVICE != "cuda":
        return "needs a GPU"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        return f"cannot be imported: {error}"
    if package == "inf_cl":
        # The package splits features into heads; here each has 256 features.
        return lambda a, b: module.cal_flash_loss(a, b, scale=1 / temperature, head_dim=256).mean()
    loss: Loss = module.MemoryEfficientCLIPLoss(temperature=temperature, normalized_inputs=True, stable=False)
    return loss
