"""Losses on large graphs and large batches of pairs: memory, time, and gradients against the written-out formulas."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from benchmarks.harness import DEVICE, write
from benchmarks.memory import peak_bytes
from infomax import CosineCritic, InfoMaxLoss

__all__ = ["CASES", "add_options", "gradient_error", "run"]

TEMPERATURE = 0.4
DRAWN = 1024
CHECKED = 512


class Case(NamedTuple):
    """A training step with its memory limit, and a written-out formula to check its gradients against."""

    step: Callable[[], object]
    """Run forward and backward."""
    trained: list[Tensor]
    """The tensors that have gradients after the step."""
    sizes: str
    limit: float
    """The limit of the peak in GiB; it is not enforced, only reported beside the measured peak."""
    beyond_gradients: bool
    """Whether the bytes of the gradients are subtracted from the peak."""
    pairs: tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
    """Our loss and the written-out formula, each a function of two tensors of rows."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), help="run these cases alone")


def run(options: argparse.Namespace) -> None:
    rows = []
    for name in options.only or CASES:
        torch.manual_seed(0)
        case = CASES[name](options.smoke)
        seconds: list[float] = []
        peak = peak_bytes(lambda: seconds.append(_timed(case.step)), DEVICE)  # noqa: B023  (called at once)
        if case.beyond_gradients:
            peak -= sum(tensor.numel() * tensor.element_size() for tensor in case.trained)
        rows.append({
            "what": name,
            "sizes": case.sizes,
            "seconds": seconds[0],
            "peak MiB": peak / 2**20,
            "without gradients": case.beyond_gradients,
            "limit MiB": 1024 * case.limit,
            f"gradient error, N = {CHECKED}": gradient_error(*case.pairs),
        })  # fmt: skip
        print(rows[-1], flush=True)
        if any(tensor.grad is None or not bool(tensor.grad.isfinite().all()) for tensor in case.trained):
            raise RuntimeError(f"{name} left a gradient that is missing or not finite")
    title = "One step, forward and backward, under the profiler: most memory beyond what was there before"
    write("-".join(["graphs", *(options.only or [])]), title, rows, keep=not options.smoke)


def _timed(step: Callable[[], object]) -> float:
    wait = torch.cuda.synchronize if DEVICE == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def gradient_error(
    ours: Callable[[Tensor, Tensor], Tensor], written_out: Callable[[Tensor, Tensor], Tensor], dim: int = 64
) -> float:
    """Return the largest error of our float32 gradients against the float64 formula, over the largest gradient."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, CHECKED, dim, generator=generator).to(DEVICE).unbind()
    found = torch.autograd.grad(ours(*(leaves := (x.requires_grad_(), y.requires_grad_()))), leaves)
    double = x.detach().double().requires_grad_(), y.detach().double().requires_grad_()
    truth = torch.autograd.grad(written_out(*double), double)
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, truth, strict=True))


# --- GRACE -----------------------------------------------------------------------------------------------------------


def grace_loss(dim: int) -> InfoMaxLoss:
    critic = partial(CosineCritic, units=None, temperature=TEMPERATURE)
    return InfoMaxLoss(dim, dim, critic=critic, same_side=True).to(DEVICE)


def grace_written_out(u: Tensor, v: Tensor) -> Tensor:
    """Compute the loss of Zhu et al. 2020, eq. 1 and 2, with two nodes x nodes tables for each direction."""
    u, v = nnf.normalize(u), nnf.normalize(v)
    own = torch.eye(len(u), dtype=torch.bool, device=u.device)

    def one_side(u: Tensor, v: Tensor) -> Tensor:
        between = u @ v.T / TEMPERATURE
        within = (u @ u.T / TEMPERATURE).masked_fill(own, -torch.inf)
        return torch.cat([between, within], 1).logsumexp(1) - between.diagonal()

    return (one_side(u, v) + one_side(v, u)).mean() / 2


def grace(smoke: bool) -> Case:
    nodes, edges, words, units = (300, 2_000, 16, 8) if smoke else (34_493, 247_962, 256, 128)
    graph = random_graph(nodes, edges)
    features = torch.randn(nodes, words, device=DEVICE)
    first, second = nn.Linear(words, 2 * units), nn.Linear(2 * units, units)
    head = nn.Sequential(nn.Linear(units, units), nn.ELU(), nn.Linear(units, units))
    trained = nn.ModuleList([first, second, head]).to(DEVICE)
    loss_fn = grace_loss(units)

    def view(hidden: float) -> Tensor:
        shown = (torch.rand(words, device=DEVICE) >= hidden).float()
        found = torch.sparse.mm(graph, first(features * shown)).relu()
        return head(torch.sparse.mm(graph, second(found)).relu())

    sizes = f"{nodes} nodes, {2 * edges} edges, {words} features, {units} units"
    step = lambda: loss_fn(view(0.3), view(0.4)).backward()  # noqa: E731
    return Case(step, list(trained.parameters()), sizes, 2, False, (grace_loss(64), grace_written_out))


def random_graph(nodes: int, edges: int) -> Tensor:
    """Return the sparse adjacency matrix of a random graph with self-loops; every row sums to one."""
    ends = torch.randint(nodes, (2, edges))
    both = torch.cat([ends, ends.flip(0), torch.arange(nodes).expand(2, -1)], 1)
    degree = torch.bincount(both[0], minlength=nodes).float()
    matrix = torch.sparse_coo_tensor(both, 1 / degree[both[0]], (nodes, nodes), check_invariants=True)
    return matrix.coalesce().to(DEVICE)


# --- Deep Graph Infomax with a summary of each node's neighbourhood ---------------------------------------------------


def neighbourhood(smoke: bool, one_to_one: bool) -> Case:
    nodes, edges, genes, units = (300, 900, 8, 8) if smoke else (600_000, 1_800_000, 50, 64)
    graph = random_graph(nodes, edges)
    features = torch.randn(nodes, genes, device=DEVICE)
    encoder = nn.Sequential(nn.Linear(genes, units), nn.PReLU()).to(DEVICE)
    loss = Neighbourhoods(units, one_to_one)
    trained = [*encoder.parameters(), *loss.parameters()]

    def step() -> None:
        cells = encoder(torch.sparse.mm(graph, features))
        corrupted = encoder(torch.sparse.mm(graph, features[torch.randperm(nodes, device=DEVICE)]))
        loss(cells, torch.sparse.mm(graph, cells).sigmoid(), corrupted).backward()

    def ours(x: Tensor, y: Tensor) -> Tensor:
        return checked(x, y, x.flip(0))

    def written_out(x: Tensor, y: Tensor) -> Tensor:
        projected = y @ checked.critic.weight.weight.double().T
        corrupted = x.flip(0)
        marginal = (corrupted * projected).sum(1) if one_to_one else projected @ corrupted.T
        return nnf.softplus(-(x * projected).sum(1)).mean() + nnf.softplus(marginal).mean()

    checked = Neighbourhoods(64, one_to_one)
    sizes = f"{nodes} nodes, {2 * edges} edges, {genes} features, {units} units"
    return Case(step, trained, sizes, 8, False, (ours, written_out))


class Neighbourhoods(nn.Module):
    """The Jensen-Shannon loss of nodes with the summaries of their neighbourhoods.

    With ``one_to_one``, each neighbourhood has one marginal pair, with the corrupted node at the same index. Otherwise
    all neighbourhoods share the same corrupted nodes, at most ``DRAWN`` drawn at random.
    """

    def __init__(self, units: int, one_to_one: bool) -> None:
        super().__init__()
        self.loss_fn = InfoMaxLoss(
            units, units, critic="bilinear", estimator="jsd", symmetric=False, in_batch=False, device=DEVICE
        )
        self.critic = self.loss_fn.critic
        self.one_to_one = one_to_one

    def forward(self, nodes: Tensor, around: Tensor, corrupted: Tensor) -> Tensor:
        if self.one_to_one:
            corrupted = corrupted[:, None]
        elif len(corrupted) > DRAWN:
            corrupted = corrupted[torch.randperm(len(corrupted), device=DEVICE)[:DRAWN]]
        return self.loss_fn(nodes, around, negatives=corrupted)


# --- Two towers -------------------------------------------------------------------------------------------------------


def clip_loss(dim: int) -> InfoMaxLoss:
    return InfoMaxLoss(dim, dim, critic=partial(CosineCritic, units=None, temperature="learned")).to(DEVICE)


def clip_written_out(x: Tensor, y: Tensor) -> Tensor:
    logits = nnf.normalize(x) @ nnf.normalize(y).T / 0.07
    own = torch.arange(len(x), device=x.device)
    return (nnf.cross_entropy(logits, own) + nnf.cross_entropy(logits.T, own)) / 2


def siglip_loss(dim: int) -> InfoMaxLoss:
    critic = partial(CosineCritic, units=None, temperature="learned", bias=-10.0)
    return InfoMaxLoss(dim, dim, critic=critic, estimator="logistic").to(DEVICE)


def siglip_written_out(x: Tensor, y: Tensor) -> Tensor:
    logits = nnf.normalize(x) @ nnf.normalize(y).T / 0.07 - 10.0
    signs = 2 * torch.eye(len(x), dtype=x.dtype, device=x.device) - 1
    return -nnf.logsigmoid(signs * logits).sum() / len(x)


def towers(smoke: bool, make: Callable[[int], InfoMaxLoss], written_out: Callable[[Tensor, Tensor], Tensor]) -> Case:
    rows, dim = (256, 16) if smoke else (32_768, 768)
    x, y = (torch.randn(rows, dim, device=DEVICE).requires_grad_() for _ in range(2))
    loss_fn = make(dim)
    trained = [x, y, *loss_fn.parameters()]
    return Case(lambda: loss_fn(x, y).backward(), trained, f"B {rows}, d {dim}", 0.5, True, (make(64), written_out))


# GRACE on a large graph; Deep Graph Infomax with a summary of each node's neighbourhood as the global feature, in two
# forms; and two losses of two towers.
CASES: dict[str, Callable[[bool], Case]] = {
    "grace": grace,
    "shared-negatives": partial(neighbourhood, one_to_one=False),
    "one-to-one": partial(neighbourhood, one_to_one=True),
    "siglip": partial(towers, make=siglip_loss, written_out=siglip_written_out),
    "clip": partial(towers, make=clip_loss, written_out=clip_written_out),
}
