"""InfoNCE of two towers in both directions from one table of scores, against two tables and the written-out loss."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional as nnf

from benchmarks.baselines import bare_products
from benchmarks.harness import DEVICE, Run, add_rounds, measure, write
from benchmarks.memory import peak_bytes
from infomax import CosineCritic, InfoMaxLoss

__all__ = ["add_options", "run"]

add_options = add_rounds

# N, d, and the number of matrix products: three where the scores fit in the workspace and are kept, else four.
SIZES = [(1024, 512, 3), (4096, 512, 4), (8192, 768, 4)]
SMOKE = [(16, 8, 3)]
TEMPERATURE = 0.1


def run(options: argparse.Namespace) -> None:
    """Measure every size, and write the table."""
    rows = []
    for sizes in SMOKE if options.smoke else SIZES:
        case = _case(*sizes, 1 if options.smoke else options.rounds)
        print(*case, sep="\n", flush=True)
        rows += case
    title = (
        "InfoNCE of two towers in both directions, float32, forward and backward; ratios are medians of ratios within\n"
        "a round. 'two tables': a loss for each direction, as it was before one table served both"
    )
    write("towers", title, rows, keep=not options.smoke)


def _case(examples: int, dim: int, products: int, rounds: int) -> list[dict]:
    x, y = (torch.randn(examples, dim, device=DEVICE).requires_grad_() for _ in range(2))
    critic = CosineCritic(dim, dim, units=None, temperature=TEMPERATURE)
    both = InfoMaxLoss(dim, dim, critic=critic).to(DEVICE)
    one_way = InfoMaxLoss(dim, dim, critic=critic, symmetric=False).to(DEVICE)

    def step(loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, [x, y])

    def written_out() -> Tensor:
        logits = nnf.normalize(x) @ nnf.normalize(y).T / TEMPERATURE
        own = torch.arange(examples, device=DEVICE)
        return (nnf.cross_entropy(logits, own) + nnf.cross_entropy(logits.T, own)) / 2

    candidates: dict[str, Run] = {
        f"{products} bare products": bare_products(x.detach(), y.detach(), products - 2),
        "both directions": lambda: step(both(x, y)),
        "one direction": lambda: step(one_way(x, y)),
        "two tables": lambda: step((one_way(x, y) + one_way(y, x)) / 2),
        "written out": lambda: step(written_out()),
    }
    timings = measure(candidates, rounds)
    bare, *_ = candidates
    return [
        {
            "N, d": f"{examples}, {dim}",
            "what": name,
            "ms": timings[name].milliseconds,
            "over products": timings[name].over(timings[bare]),
            "over one direction": timings[name].over(timings["one direction"]),
            "over two tables": timings[name].over(timings["two tables"]),
            "peak MiB": peak_bytes(run_once, DEVICE) / 2**20,
        }
        for name, run_once in candidates.items()
    ]
