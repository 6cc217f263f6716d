"""One process of a group, run by test_gather.py: it computes its share of every case and saves the results.

``python gather_ranks.py RANK WORLD FOLDER WHICH``: the processes meet in the folder. WHICH is ``some``, for a third of
the cases, or ``every``.
"""

from __future__ import annotations

import copy
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import (
    CASES,
    FSDP_ON_CPU,
    SHARES,
    WRAPPED,
    C,
    Case,
    D,
    build,
    chosen,
    outcome,
    share,
    whole_batch,
)
from pairs.gather_faults import critics_that_fail, error_of, later_than_scores, scores_that_fail
from pairs.gather_wrapped import large_batch, own_discriminator, sharded
from torch import Tensor, nn

from infomax import DIMLoss, InfoMaxLoss, LocalDIMLoss
from infomax.ops import use_backend
from infomax.pairs.processes import Processes
from infomax.scores import TableScores, gather_scores


def aliased_gradient() -> Tensor:
    """Return a gradient that goes to both terms of a sum.

    Summing one term's gradient over processes must not change the other.
    """
    ours = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    other = torch.ones(2 * len(SHARES), 1, dtype=torch.float64, requires_grad=True)
    doubled = 2 * other
    total = doubled + Processes().gather_rows(ours, [2] * len(SHARES))
    total.square().sum().backward()
    assert other.grad is not None
    return other.grad


def none_on_a_rank(rank: int) -> list[tuple[Tensor, Tensor]]:
    """Return the loss if only rank 1 has examples, beside the loss of one process."""
    found = []
    generator = torch.Generator().manual_seed(4)
    local, global_ = torch.randn(3, C, 4, generator=generator), torch.randn(3, D, 2, generator=generator)
    for critic in ("bilinear", "concat", "dot"):
        for estimator in ("infonce", "smile", "jsd"):
            losses = []
            for gather in (True, False):
                torch.manual_seed(0)
                units = None if critic == "bilinear" else 4
                loss = LocalDIMLoss(C, D, critic=critic, estimator=estimator, units=units, gather=gather)
                empty = gather and rank != 1
                losses.append(loss(*((local[:0], torch.zeros(0, D)) if empty else (local, global_))))
            losses[0].backward()
            found.append((losses[0].detach(), losses[1].detach()))
    return found


def features_learn_on_one_rank() -> list[tuple[Tensor, Tensor]]:
    """Return gradients if the features of rank 1 alone learn. Other ranks have no example, or frozen features."""
    found = []
    rank, given = dist.get_rank(), whole_batch(Case("infonce", "dot", 1, masked=False))
    for critic in ("bilinear", "concat"):
        for empty in (True, False):
            gradients = []
            for gather in (True, "ring", False):
                torch.manual_seed(0)
                units = None if critic == "bilinear" else 4
                loss = LocalDIMLoss(C, D, critic=critic, units=units, gather=gather, dtype=torch.float64)
                local, global_ = given["local"], given["global_"]
                if gather and not empty:
                    part = share(rank, given)
                    local, global_ = part["local"], part["global_"]
                elif gather and rank != 1:
                    local, global_ = local[:0], global_[:0]
                local = local.clone().requires_grad_(rank == 1 or not gather)
                loss(local, global_).backward()
                if rank == 1:
                    gradient = local.grad
                    if not gather and not empty:
                        gradient = len(SHARES) * gradient[1:4]
                    elif not gather:
                        gradient = len(SHARES) * gradient
                    gradients.append(gradient)
            found.append(gradients)
    return found


def second_derivative(rank: int) -> dict[str, Any]:
    """Compute a gradient penalty on gathered scores: the gradient of a squared gradient."""
    case = Case("infonce", "bilinear", 1, masked=False)
    found: dict[str, Any] = {}
    for gather in (True, "ring"):
        loss = build(case, gather=gather)

        def penalty(loss: nn.Module = loss) -> Tensor:
            given = share(rank, whole_batch(case))
            local = given["local"].requires_grad_()
            with use_backend("reference"):
                (slope,) = torch.autograd.grad(loss(local, given["global_"]), local, create_graph=True)
                (again,) = torch.autograd.grad(slope.square().sum(), loss.critic.weight.weight)
            return again

        if gather == "ring":
            found["ring"] = error_of(penalty)
        else:
            total = penalty()
            dist.all_reduce(total)
            found["gathered"] = total
    loss = build(case, gather=False)
    given = whole_batch(case)
    local = given["local"].requires_grad_()
    with use_backend("reference"):
        (slope,) = torch.autograd.grad(loss(local, given["global_"]), local, create_graph=True)
        (found["expected"],) = torch.autograd.grad(slope.square().sum(), loss.critic.weight.weight)
    return found


COUNTED = [
    Case("infonce", "dot", 1, masked=False),
    Case("infonce", "dot", 2, masked=True),
    Case("given negatives", "dot", 1, masked=False),
    Case("groups", "dot", 1, masked=False),
    Case("groups", "dot", 1, masked=True),
]


def collectives(case: Case, gather: bool | str, rank: int) -> int:
    """Return the number of collectives in the forward pass of a loss."""
    loss, given = build(case, gather=gather), share(rank, whole_batch(case))
    called, names = [], ("all_gather", "all_reduce", "batch_isend_irecv")
    originals = {name: getattr(dist, name) for name in names}
    for name in names:
        setattr(dist, name, lambda *given, name=name, **options: (called.append(name), originals[name](*given))[1])
    loss(given.pop("local"), given.pop("global_"), **given)
    for name, original in originals.items():
        setattr(dist, name, original)
    return len(called)


def main() -> None:
    rank, world, folder, which = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=(folder / "init").as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=5)
    )
    results: dict[Any, Any] = {}
    for case in chosen(which):
        for gather in (True, "ring"):
            loss = build(case, gather=gather)
            found = outcome(loss, share(rank, whole_batch(case)), case, gather=gather)
            for name, _ in loss.named_parameters():
                dist.all_reduce(found[name])
                found[name] /= world
            results[gather, tuple(case)] = found
    for case in WRAPPED:
        for gather in (True, "ring"):
            wrapped = nn.parallel.DistributedDataParallel(build(case, gather=gather))
            results["ddp", gather, tuple(case)] = outcome(wrapped, share(rank, whole_batch(case)), case, gather=gather)
            if FSDP_ON_CPU:
                results["fsdp", gather, tuple(case)] = sharded(rank, whole_batch(case), case, gather)
    group = dist.new_group([1, 2])
    for gather in (True, "ring"):
        if rank == 0:
            results["group", gather] = error_of(lambda gather=gather: build(CASES[0], gather=gather, group=group))
        else:
            # A loss can be copied, although a process group cannot.
            loss = copy.deepcopy(build(CASES[0], gather=gather, group=group))
            found = outcome(loss, share(rank, whole_batch(CASES[0])), CASES[0], gather=gather)
            for name, _ in loss.named_parameters():
                dist.all_reduce(found[name], group=group)
                found[name] /= 2
            results["group", gather] = found

    results["large batch"] = large_batch(rank)
    results["failing"] = critics_that_fail(rank) | scores_that_fail(rank)
    results["late"] = later_than_scores(rank)
    rows = torch.full((SHARES[rank], 2), float(rank))
    results["rows"] = Processes().gather_rows(rows, list(SHARES))
    results["aliased"] = aliased_gradient()
    for gather in (True, "ring"):
        results["collectives", gather] = [collectives(case, gather, rank) for case in COUNTED]
    bilinear = LocalDIMLoss(C, D, critic="bilinear", gather=True)
    good = torch.zeros(2, C, 4), torch.zeros(2, D)
    results["globals differ"] = error_of(lambda: bilinear(good[0], torch.zeros(2, D, 1 + rank)))
    results["wrong on one rank"] = error_of(lambda: bilinear(good[0][:, : C - (rank == 1)], good[1]))
    results["one in all"] = error_of(lambda: bilinear(*(part[: int(rank == 0)] for part in good)))
    results["group on one rank"] = error_of(lambda: bilinear(*good, group=torch.tensor([0, 1]) if rank == 0 else None))
    results["one group in all"] = error_of(lambda: bilinear(*good, group=torch.tensor([4, 4])))
    untouched = LocalDIMLoss(C, D, units=4, gather=True)
    results["wrong on all"] = error_of(lambda: untouched(good[0][:, 1:], good[1]))
    results["statistics"] = dict(untouched.named_buffers())
    results["learning on one rank"] = features_learn_on_one_rank()
    results["none on a rank"] = none_on_a_rank(rank)
    alone = InfoMaxLoss(D, D, same_side=True, estimator="dv", gather=True)
    results["one pair in all"] = error_of(lambda: alone(*(torch.ones(int(rank == 0), D) for _ in range(2))))
    on_one = DIMLoss(C, D, (4,), alpha=1.0, units=4, gather=True)
    if rank == 0:  # by default, measuring is local, so that no process waits
        results["measured alone"] = on_one.mutual_information(torch.randn(3, C, 4), torch.randn(3, D)).local
    results["table"] = error_of(lambda: gather_scores(TableScores(torch.zeros(3, 3), None), None, Processes()))
    if FSDP_ON_CPU:
        results["own discriminator"] = own_discriminator()
    results["second derivative"] = second_derivative(rank)
    torch.save(results, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
