"""Losses, forward and backward, against the matrix products alone, the written-out formula and KeOps."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.baselines import MOST_BYTES, bare_products, keops_logsumexp, written_out_bytes, written_out_infonce
from benchmarks.harness import DEVICE, Run, add_rounds, measure, write
from benchmarks.memory import peak_bytes
from infomax import functional as F
from infomax.ops import pairwise_logsumexp

__all__ = ["add_options", "run"]

add_options = add_rounds

# N, P, d, and the number of matrix products: three where the scores fit in the workspace and are kept, else four.
CPU = [(64, 64, 512, 3), (64, 64, 2048, 3), (128, 64, 512, 3), (256, 64, 512, 3), (1024, 64, 256, 4)]
CUDA = [(256, 64, 512, 4), (1024, 64, 512, 4), (1024, 64, 128, 4)]
SMOKE = [(8, 4, 16, 3)]
OTHERS: dict[str, Callable[..., Tensor]] = {
    "jsd": F.jsd_loss,
    "dv": F.dv_loss,
    "nwj": F.nwj_loss,
    "chi2": lambda scores: F.fdivergence_loss(scores, "chi2"),
    "hellinger": lambda scores: F.fdivergence_loss(scores, "hellinger"),
}


def run(options: argparse.Namespace) -> None:
    smoke, rounds = options.smoke, 1 if options.smoke else options.rounds
    rows = []
    for sizes in SMOKE if smoke else CUDA if DEVICE == "cuda" else CPU:
        for dtype in [torch.float32] if DEVICE == "cpu" else [torch.bfloat16, torch.float32]:
            case = _case(*sizes, dtype, rounds)
            print(*case, sep="\n", flush=True)
            rows += case
    title = "Forward and backward of a whole loss; ratios are medians of ratios within a round"
    write("pairwise", title, rows, keep=not smoke)


def _case(examples: int, locations: int, dim: int, products: int, dtype: torch.dtype, rounds: int) -> list[dict]:
    key = _leaf(examples * locations, dim, dtype)
    # Scores of order one, so that no bare exponential overflows.
    query = _leaf(examples, dim, dtype, scale=dim**-0.5)
    local = key.view(examples, locations, dim)
    # As a convolution writes it: the locations of one feature lie side by side.
    channels_first = local.detach().transpose(1, 2).contiguous().requires_grad_()

    def differentiate(loss: Callable[[], Tensor], of: Tensor = key) -> Run:
        return lambda: torch.autograd.grad(loss(), [query, of])

    def ours(loss: Callable[..., Tensor]) -> Run:
        return differentiate(lambda: loss(F.dot_scores(local.transpose(1, 2), query)))

    candidates: dict[str, Run] = {
        "bare products": bare_products(query.detach(), key.detach(), products - 2),
        "infonce": ours(F.infonce_loss),
        "infonce, channels first": differentiate(
            lambda: F.infonce_loss(F.dot_scores(channels_first, query)), channels_first
        ),
        **{name: ours(loss) for name, loss in OTHERS.items()},
    }
    timings = measure(candidates, rounds)
    groups = torch.arange(examples, device=DEVICE)
    streamed = differentiate(lambda: pairwise_logsumexp(query, key, groups, groups.repeat_interleave(locations)).sum())
    peers: dict[str, Run] = {"infonce": candidates["infonce"], "log-sum-exp alone": streamed}
    skipped = {}
    if written_out_bytes(examples, locations) <= MOST_BYTES:
        peers["written out"] = differentiate(lambda: written_out_infonce(local, query))
        compiled = torch.compile(written_out_infonce, dynamic=False)  # else the next size compiles for dynamic shapes
        peers["written out, compiled"] = differentiate(lambda: compiled(local, query))
    else:
        need = written_out_bytes(examples, locations) / 2**30
        skipped["written out"] = f"skipped: {need:.0f} GiB"
    keops = keops_logsumexp(examples, examples * locations, dim)
    if isinstance(keops, str):
        skipped["KeOps log-sum-exp alone"] = f"skipped: {keops}"
    else:
        peers["KeOps log-sum-exp alone"] = differentiate(lambda: keops(query, key).sum())
    slow = measure(peers, max(1, min(rounds, 3)), warm_up=1)
    sizes = f"{examples}, {locations}, {dim}"
    rows: list[dict] = []
    for name, run_once in {**candidates, **{n: r for n, r in peers.items() if n not in candidates}}.items():
        quick = name in timings
        rows.append({
            "N, P, d": sizes,
            "dtype": str(dtype).removeprefix("torch."),
            "what": f"{products} bare products" if name == "bare products" else name,
            "ms": timings[name].milliseconds if quick else slow[name].milliseconds,
            "over products": timings[name].over(timings["bare products"]) if quick else None,
            "over infonce": timings[name].over(timings["infonce"]) if quick else slow[name].over(slow["infonce"]),
            "peak MiB": peak_bytes(run_once, DEVICE) / 2**20,
            "note": "",
        })  # fmt: skip
    rows += [{"N, P, d": sizes, "what": name, "note": why} for name, why in skipped.items()]
    return rows


def _leaf(rows: int, dim: int, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(rows, dim, device=DEVICE)).to(dtype).requires_grad_()
