"""One of two processes whose batch norms share statistics, run by test_norms.py.

``python gather_norms.py RANK WORLD FOLDER``: each function returns the results of this process and, for comparison,
those of one process with the whole batch. An endless wait shows as a timeout of a separate process group.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import C, D
from pairs.gather_faults import error_of
from processes import as_rank
from torch import nn

from infomax import DIMLoss, DotCritic, GlobalDIMLoss, LocalDIMLoss
from infomax.critics import BatchNorm
from infomax.prior import NoisePrior

SHARES = (3, 2)


def briefly() -> dist.ProcessGroup:
    return dist.new_group(list(range(len(SHARES))), timeout=timedelta(seconds=20))


def ours(rank: int, *, empty: bool) -> slice:
    """Return the examples of a process. If ``empty``, rank 1 has all of them."""
    if empty:
        return slice(0, sum(SHARES) * rank)
    return slice(sum(SHARES[:rank]), sum(SHARES[: rank + 1]))


def frozen_critic(rank: int) -> dict[Any, Any]:
    """Freeze the critic in training mode. The features of rank 1 learn; those of rank 0 do not, or are absent."""
    found: dict[Any, Any] = {}
    group = briefly()
    generator = torch.Generator().manual_seed(3)
    local = torch.randn(sum(SHARES), C, 4, generator=generator, dtype=torch.float64)
    global_ = torch.randn(sum(SHARES), D, generator=generator, dtype=torch.float64)
    for empty in (False, True):
        for side in (0, 1):
            for gather in (True, "ring", False):
                torch.manual_seed(0)
                loss_fn = LocalDIMLoss(
                    C, D, units=4, gather=gather, process_group=group if gather else None, dtype=torch.float64
                ).requires_grad_(False)
                given = [part[ours(rank, empty=empty)].clone() if gather else part.clone() for part in (local, global_)]
                given[side].requires_grad_(rank == 1 or not gather)
                results = []

                def step(results: list[Any] = results, given: Any = given, loss_fn: nn.Module = loss_fn) -> None:
                    results.append(loss_fn(*given))
                    results[0].backward()

                said = error_of(step)
                gradient = given[side].grad
                if not gather and gradient is not None:
                    gradient = len(SHARES) * gradient[ours(rank, empty=empty)]
                found[empty, side, gather] = said, results[0].detach(), gradient
    return found


def noise_of_frozen_rows(rank: int) -> dict[Any, Any]:
    """Let the rows of rank 1 learn through the statistics of all rows, while those of rank 0 do not learn."""
    found: dict[Any, Any] = {}
    y = torch.randn(sum(SHARES), D, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    for gather in (True, False):
        noisy = NoisePrior(D, noise=1e-9, gather=gather, process_group=briefly() if gather else None).double()
        part = (y[ours(rank, empty=False)] if gather else y).clone().requires_grad_(rank == 1 or not gather)

        def step(noisy: nn.Module = noisy, part: torch.Tensor = part) -> None:
            noisy(part).pow(3).sum().backward()

        said = error_of(step)
        found[gather] = said, part.grad if gather or part.grad is None else part.grad[ours(rank, empty=False)]
    return found


def gradients_off_on_one_rank(rank: int) -> dict[Any, Any]:
    """Call the loss without gradients on rank 0, and with gradients on rank 1."""
    found: dict[Any, Any] = {}
    group = briefly()
    local, global_ = torch.randn(3, C, 4), torch.randn(3, D)
    for name, off in {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}.items():
        for critic in ("dot", "bilinear", "concat"):
            for gather in (True, "ring"):
                units = None if critic == "bilinear" else 4
                loss_fn = LocalDIMLoss(C, D, critic=critic, units=units, gather=gather, process_group=group)

                def step(loss_fn: nn.Module = loss_fn, off: Any = off) -> None:
                    with off() if rank == 0 else nullcontext():
                        loss = loss_fn(local, global_)
                    if rank == 1:
                        loss.backward()

                found[name, critic, gather] = error_of(step)
                after = error_of(lambda loss_fn=loss_fn: loss_fn(local, global_).backward())
                found[name, critic, gather, "after"] = after
        frozen = LocalDIMLoss(C, D, critic="bilinear", gather=True, process_group=group).requires_grad_(False)
        with off() if rank == 0 else nullcontext():
            found[name, "nothing learns"] = error_of(lambda frozen=frozen: frozen(local, global_))
    return found


def critic_alone(rank: int) -> dict[str, Any]:
    """Call the critic of a gathering loss by itself many times, and its norm with one row over all processes."""
    loss_fn = LocalDIMLoss(C, D, units=4, gather=True)
    local, global_ = torch.randn(3, C, 4), torch.randn(3, D)
    held = []
    for _ in range(3):
        for _ in range(5):
            loss_fn.critic(local, global_).joint()
        held.append(len(loss_fn.processes._met or []))
    loss_fn(local, global_)
    held.append(len(loss_fn.processes._met or []))
    norm = loss_fn.critic.global_projection.norm
    before = copy.deepcopy(dict(norm.named_buffers()))
    said = error_of(lambda: norm(torch.randn(int(rank == 0), 4)))
    kept = all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())
    loss_fn(local, global_).backward()  # the processes are still in step
    return {"held": held, "one row": said, "statistics kept": kept}


class Foreign(DotCritic):
    """A critic with a batch norm of torch, which knows no other process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(C, D, units=4, dtype=torch.float64)
        norm = nn.BatchNorm1d(C, dtype=torch.float64, **options)
        self.local_projection = nn.Sequential(norm, nn.Linear(C, 4, dtype=torch.float64))
        self.global_projection = nn.Linear(D, 4, dtype=torch.float64)


def measured_together(rank: int) -> dict[str, Any]:
    """Measure the batch of all processes with losses that were built to train alone."""
    found: dict[str, Any] = {}
    group = briefly()
    local = torch.randn(sum(SHARES), C, 4, dtype=torch.float64)
    global_ = 2 * torch.randn(sum(SHARES), D, dtype=torch.float64)
    mine = [part[ours(rank, empty=False)] for part in (local, global_)]
    kinds: dict[str, Any] = {
        "local": lambda: LocalDIMLoss(C, D, units=4, process_group=group, dtype=torch.float64),
        "whole": lambda: GlobalDIMLoss(C, D, (4,), units=4, process_group=group, dtype=torch.float64),
        "both": lambda: DIMLoss(C, D, (4,), alpha=1.0, units=4, process_group=group, dtype=torch.float64),
    }
    for name, make in kinds.items():
        loss_fn = make()
        for gather in (True, "ring"):
            before = copy.deepcopy(loss_fn.state_dict())
            together = loss_fn.mutual_information(*mine, gather=gather)
            alone, whole = loss_fn.mutual_information(*mine), loss_fn.mutual_information(local, global_)
            found[name, gather] = together, whole, alone
            kept = all(torch.equal(value, before[key]) for key, value in loss_fn.state_dict().items())
            built = [norm.processes for norm in loss_fn.modules() if isinstance(norm, BatchNorm)]
            found[name, gather, "as before"] = kept and built == [None] * len(built) and bool(built)
    refused = {
        "training": (lambda loss_fn: loss_fn, {}),
        "on one rank": (lambda loss_fn: loss_fn.train(rank == 0), {}),
        "no running averages": (lambda loss_fn: loss_fn.eval(), {"track_running_stats": False}),
    }
    for name, (prepare, options) in refused.items():
        loss_fn = prepare(LocalDIMLoss(C, D, critic=Foreign(**options), process_group=group))
        found[name] = error_of(lambda loss_fn=loss_fn: loss_fn.mutual_information(*mine, gather=True))
    loss_fn = LocalDIMLoss(C, D, critic=Foreign(), process_group=group)
    loss_fn(local, global_)
    loss_fn.eval()
    found["evaluation"] = loss_fn.mutual_information(*mine, gather=True), loss_fn.mutual_information(local, global_)
    return found


CASES = [frozen_critic, noise_of_frozen_rows, gradients_off_on_one_rank, critic_alone, measured_together]


def main() -> None:
    with as_rank(60) as (rank, results):
        for case in CASES:
            torch.manual_seed(0)
            results[case.__name__] = case(rank)
            dist.barrier()


if __name__ == "__main__":
    main()
