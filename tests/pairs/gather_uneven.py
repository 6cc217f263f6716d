"""One of two processes whose shares differ in kind, run by test_uneven.py.

``python gather_uneven.py RANK WORLD FOLDER``: each function returns the results of this process and, for comparison,
those of one process with the whole batch.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import FSDP_ON_CPU, C, D, whole
from pairs.gather_faults import error_of
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from infomax import DIMLoss, InfoMaxLoss, LocalDIMLoss
from infomax.critics import CosineCritic
from infomax.prior import NoisePrior, PriorMatchingLoss

SHARES = (3, 2)


def ours(rank: int) -> slice:
    """Return the examples of a process."""
    return slice(sum(SHARES[:rank]), sum(SHARES[: rank + 1]))


def one_side_learns_on_one_rank(rank: int) -> dict[Any, Any]:
    """Let one of two views have a gradient, on rank 1 only. The critic has no parameters."""
    found: dict[Any, Any] = {}
    generator = torch.Generator().manual_seed(3)
    views = [torch.randn(sum(SHARES), D, generator=generator, dtype=torch.float64) for _ in range(2)]
    for same_side in (False, True):
        for side in (0, 1):
            for gather in (True, "ring", False):
                loss_fn = InfoMaxLoss(
                    D, D, critic=partial(CosineCritic, units=None), same_side=same_side, gather=gather
                )
                given = [view[ours(rank)].clone() if gather else view.clone() for view in views]
                given[side].requires_grad_(rank == 1 or not gather)
                loss = loss_fn(*given)
                loss.backward()
                gradient = given[side].grad
                if not gather:
                    gradient = len(SHARES) * gradient[ours(rank)]
                found[same_side, side, gather] = loss.detach(), gradient
    return found


def density_learns_on_one_rank(rank: int) -> dict[str, Any]:
    """Give globals a gradient, on rank 1 only, for a loss that takes globals as constants."""
    loss_fn = LocalDIMLoss(C, D, estimator="club", critic="gaussian", units=4, gather=True)
    local, global_ = torch.randn(3, C, 4), torch.randn(3, D)
    learned = global_.clone().requires_grad_(rank == 1)
    found = {"loss": error_of(lambda: loss_fn(local, learned).backward())}
    loss_fn(local, global_).backward()  # the processes are still in step
    loss_fn.estimator.estimate(loss_fn.scores(local, learned)).backward()
    return found | {"gradient": learned.grad}


def negatives_without_an_example(rank: int) -> dict[Any, tuple[Tensor, ...]]:
    """Give rank 0 negatives for all and no example, and rank 1 examples and no negatives."""
    found: dict[Any, tuple[Tensor, ...]] = {}
    for critic in ("bilinear", "dot"):
        for gather in (True, "ring", False):
            torch.manual_seed(0)
            units = None if critic == "bilinear" else 4
            loss_fn = LocalDIMLoss(C, D, critic=critic, units=units, gather=gather, dtype=torch.float64)
            local, global_, negatives = (
                torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, C, 4), (3, D, 2), (5, C))
            )
            features, given = (local, global_), {"negatives": negatives}
            if gather and rank == 0:
                features = local[:0], global_[:0]
            elif gather:
                given = {}
            loss = loss_fn(*features, **given)
            loss.backward()
            learned = (negatives,) if rank == 0 else (local, global_)
            factor = 1 if gather else len(SHARES)
            found[critic, gather] = loss.detach(), *(factor * part.grad for part in learned)
    return found


def one_row_in_all(rank: int) -> dict[str, Any]:
    """Share one example among all processes, with given negatives: a batch norm of the globals sees one row."""
    found: dict[str, Any] = {}
    shares = {"none elsewhere": (1, 0), "failed elsewhere": (1, 0), "alone": (1, 1)}
    for name, share in shares.items():
        torch.manual_seed(0)
        loss_fn = LocalDIMLoss(C, D, units=4, gather=name != "alone")
        local, global_ = torch.randn(share[rank], C, 4), torch.randn(share[rank], D)
        negatives = torch.randn(3, C - (name == "failed elsewhere" and rank == 1))
        found[name] = error_of(partial(loss_fn, local, global_, negatives=negatives))
        found[f"{name}, statistics"] = dict(loss_fn.named_buffers())
    loss_fn = LocalDIMLoss(C, D, units=4, gather=True)
    found["no negatives"] = error_of(lambda: loss_fn(torch.randn(1 - rank, C, 4), torch.randn(1 - rank, D)))
    loss_fn(torch.randn(1 + rank, C, 4), torch.randn(1 + rank, D)).backward()  # the processes are still in step
    return found


class DIM(nn.Module):
    """The whole objective, with a linear encoder of the globals."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode = nn.Linear(D, D)
        prior = PriorMatchingLoss(D, hidden=(4,))
        self.loss_fn = DIMLoss(C, D, (4,), critic="bilinear", prior=prior, **options)
        self.double()

    def forward(self, local: Tensor, global_: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        terms = self.loss_fn(local, self.encode(global_), mask, generator=torch.Generator().manual_seed(7))
        return tuple(term for term in terms if term is not None)


def no_example_for_the_prior(rank: int) -> dict[Any, Any]:
    """Return terms and averaged gradients if rank 0 has no example, or none with a real location."""
    found: dict[Any, Any] = {}
    generator = torch.Generator().manual_seed(5)
    local = torch.randn(4, C, 4, generator=generator, dtype=torch.float64)
    global_ = torch.randn(4, D, generator=generator, dtype=torch.float64)
    for weights in ({"alpha": 1.0}, {"beta": 0.0}):
        for masked in (False, True):
            mask = torch.full((4, 4), rank == 1) if masked else None
            for gather in (True, "ring", "sharded", False):
                if gather == "sharded" and not FSDP_ON_CPU:
                    continue
                model = DIM(gather=gather and (gather != "ring" or "ring"), **weights)
                called: nn.Module = model
                if gather == "sharded":
                    mesh = init_device_mesh("cpu", (len(SHARES),))
                    fully_shard(model.loss_fn.prior_term, mesh=mesh)
                    fully_shard(model, mesh=mesh)
                elif gather:
                    called = nn.parallel.DistributedDataParallel(model)
                if not gather:
                    terms = called(local, global_, None)
                elif masked or rank == 1:
                    terms = called(local, global_, mask)
                else:
                    terms = called(local[:0], global_[:0], None)
                terms[0].backward()
                gradients = {name: whole(parameter.grad) for name, parameter in model.named_parameters()}
                found[tuple(weights), masked, gather] = [term.detach() for term in terms[1:]], gradients
    return found


class FaultyPrior(nn.Module):
    """A prior term that fails on rank 1 while ``fails`` is true."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.fails = rank, True

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if self.rank == 1 and self.fails:
            raise MemoryError("out of memory, say")
        return y.square().mean()


def prior_that_fails(rank: int) -> dict[Any, Any]:
    """Fail in the prior term on one rank: with both information terms, with one, and alone."""
    found: dict[Any, Any] = {}
    features = torch.randn(3, C, 4), torch.randn(3, D)
    for weights in ((1.0, 1.0), (0.0, 1.0), (0.0, 0.0)):
        prior = FaultyPrior(rank)
        loss_fn = DIMLoss(C, D, (4,), alpha=weights[0], beta=weights[1], prior=prior, units=4, gather=True)
        found[weights] = error_of(partial(loss_fn, *features))
        prior.fails = False
        loss_fn(*features)  # the processes are still in step
    alone = DIMLoss(C, D, beta=0.0, gather=True)
    wrong = torch.ones(3, 4 + (rank == 1), dtype=torch.bool)
    found["mask"] = error_of(partial(alone, *features, wrong))
    alone(*features)
    return found


def groups_of_negatives_alone(rank: int) -> dict[str, Any]:
    """Give rank 0 negatives with groups and no example, and rank 1 examples without groups."""
    loss_fn = LocalDIMLoss(C, D, critic="bilinear", gather=True)
    count = 3 * (rank == 1)
    given = {} if rank == 1 else {"negatives": torch.randn(2, C), "group": torch.tensor([1, 1])}
    return {"said": error_of(partial(loss_fn, torch.randn(count, C, 4), torch.randn(count, D), **given))}


def rows_with_an_index(rank: int) -> dict[Any, tuple[Tensor, Tensor]]:
    """Gather rows of every dtype whose examples and groups travel with them."""
    found: dict[Any, tuple[Tensor, Tensor]] = {}
    generator = torch.Generator().manual_seed(9)
    local, global_ = torch.randn(5, C, 4, generator=generator), torch.randn(5, D, generator=generator)
    mask = torch.rand(5, 4, generator=generator) < 0.6
    mask[:, 0] = True
    negatives, group = torch.randn(5, C, generator=generator), torch.tensor([70_000, -1, 2**40, -1, 5])
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        features = [part.to(dtype) for part in (local, global_, negatives)]
        for kind in ("masked", "grouped"):
            values = []
            for gather in (True, False):
                part = ours(rank) if gather else slice(None)
                loss_fn = LocalDIMLoss(C, D, critic="bilinear", gather=gather, dtype=dtype)
                nn.init.ones_(loss_fn.critic.weight.weight)
                more = {"group": group[part]} if kind == "grouped" else {}
                given = {"negatives": features[2][part], **more}
                values.append(loss_fn(features[0][part], features[1][part], mask[part], **given).detach())
            found[dtype, kind] = values[0], values[1]
    return found


def no_row_for_the_noise(rank: int) -> dict[Any, Any]:
    """Return outputs, gradients and statistics if rank 0 has no row to normalise; and the error for one row in all."""
    found: dict[Any, Any] = {}
    y = torch.randn(4, D, 3, generator=torch.Generator().manual_seed(6))
    for prior in ("normal", "uniform"):
        for gather in (True, False):
            noisy = NoisePrior(D, prior, gather=gather)
            given = (y[:0] if gather and rank == 0 else y).clone().requires_grad_()
            out = noisy(given, generator=torch.Generator().manual_seed(8))
            out.pow(3).sum().backward()
            measured = noisy.eval()(given).detach()
            found[prior, gather] = out.detach(), given.grad, measured, dict(noisy.named_buffers())
        one = NoisePrior(D, prior, gather=True)
        found[prior, "one in all"] = error_of(partial(one, torch.randn(int(rank == 1), D)))
    return found


CASES = [
    one_side_learns_on_one_rank,
    density_learns_on_one_rank,
    negatives_without_an_example,
    one_row_in_all,
    no_example_for_the_prior,
    prior_that_fails,
    groups_of_negatives_alone,
    rows_with_an_index,
    no_row_for_the_noise,
]


def main() -> None:
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=(folder / "init").as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=1)
    )
    results = {case.__name__: case(rank) for case in CASES}
    torch.save(results, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
