"""One process of a group, run by test_gather.py: its share of every case, and what came of it.

``python ranks.py RANK WORLD INIT_FILE OUT``
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax import NWJ, DIMLoss, GlobalDIMLoss, LocalDIMLoss, ScoreRegularised
from infomax.pairs.processes import all_gather_rows
from infomax.scores import TableScores, gather_scores

C, D = 3, 2
SHARES = (1, 4)  # one example on a rank
ESTIMATORS = ["infonce", "jsd", "dv", "nwj", "smile", "mine", "kl", "rkl", "hellinger", "chi2", "gan"]
ESTIMATORS += ["tuba", "alpha_tuba", "wasserstein"]


class Case(NamedTuple):
    estimator: str
    critic: str
    globals_: int
    masked: bool


CASES = [
    *(Case(name, "bilinear", 2, masked=True) for name in ESTIMATORS),
    *(Case(name, "concat", 1, masked=True) for name in ("infonce", "jsd", "dv", "tuba", "chi2")),
    Case("softly clipped", "bilinear", 2, masked=True),
    Case("softly clipped", "concat", 1, masked=True),
    Case("club", "gaussian", 2, masked=True),
    Case("leave_one_out", "gaussian", 1, masked=True),
    Case("wasserstein", "lipschitz", 1, masked=True),
    Case("infonce", "bilinear", 1, masked=False),
    Case("jsd", "concat", 2, masked=False),
    # The default critic in training mode: its batch norm sees the rows of all processes.
    *(Case(name, "dot", 1, masked=False) for name in ("infonce", "jsd", "dv", "mine", "alpha_tuba")),
    Case("infonce", "dot", 2, masked=True),
    Case("jsd", "cosine", 2, masked=False),
    Case("dv", "own", 1, masked=False),
    Case("global", "dot", 1, masked=False),
    Case("global", "dot", 1, masked=True),
]


class Distance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(D, C)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(local - self.embed(global_)).square().sum(1)


def build(case: Case, *, gather: bool = True) -> LocalDIMLoss | GlobalDIMLoss:
    torch.manual_seed(0)
    options: dict[str, Any] = {"critic": case.critic, "gather": gather, "dtype": torch.float64}
    if case.critic == "own":
        options["critic"] = Distance()
    elif case.critic != "bilinear":
        options["units"] = 4
    if case.estimator == "global":
        return GlobalDIMLoss(C, D, (4,), **options)
    # Bent, and then cut off.
    soft = case.estimator == "softly clipped"
    bent = ScoreRegularised(ScoreRegularised(NWJ(), weight=0.0, clip=0.5, soft=False), weight=0.0, clip=1.0)
    return LocalDIMLoss(C, D, estimator=bent if soft else case.estimator, **options)


def whole_batch(case: Case) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    local = torch.randn(sum(SHARES), C, 4, generator=generator, dtype=torch.float64)
    global_ = torch.randn(sum(SHARES), D, case.globals_, generator=generator, dtype=torch.float64)
    mask = torch.rand(sum(SHARES), 4, generator=generator) < 0.6  # so that the processes hold unequal numbers of rows
    mask[:, 1] = True
    mask[3] = False  # and one example is absent
    return local, global_, mask if case.masked else None


def outcome(loss: nn.Module, local: Tensor, global_: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Loss, estimate and gradients; the average of MINE has seen another batch before."""
    inner = loss.module if isinstance(loss, nn.parallel.DistributedDataParallel) else loss
    with torch.no_grad():
        inner(0.7 * local, global_, mask)
    local, global_ = local.clone().requires_grad_(), global_.clone().requires_grad_()
    value = loss(local, global_, mask)
    value.backward()
    results = {"loss": value.detach(), "nats": inner.mutual_information(local, global_, mask, gather=True)}
    results |= {name: buffer.clone() for name, buffer in inner.named_buffers()}
    gradients = {name: parameter.grad for name, parameter in inner.named_parameters()}
    return results | gradients | {"local": local.grad, "global_": global_.grad}


def share(rank: int, tensors: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor, Tensor | None]:
    """A process's examples."""
    start = sum(SHARES[:rank])
    local, global_, mask = (None if t is None else t[start : start + SHARES[rank]] for t in tensors)
    assert local is not None
    assert global_ is not None
    return local, global_, mask


def error_of(call: Any) -> str:
    try:
        call()
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def aliased_gradient() -> Tensor:
    """The gradient of a sum goes to both its terms: summing it over processes for one must not change the other's."""
    ours = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    other = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    doubled = 2 * other
    total = doubled + all_gather_rows(ours, [2, 2])
    total.square().sum().backward()
    assert other.grad is not None
    return other.grad


def collectives(loss: nn.Module, rank: int) -> int:
    """How many collectives a loss of unmasked features calls in its forward pass."""
    called, names = [], ("all_gather", "all_reduce")
    originals = {name: getattr(dist, name) for name in names}
    for name in names:
        setattr(dist, name, lambda *given, name=name, **options: (called.append(name), originals[name](*given))[1])
    loss(*share(rank, whole_batch(Case("infonce", "dot", 1, masked=False)))[:2])
    for name, original in originals.items():
        setattr(dist, name, original)
    return len(called)


def main() -> None:
    rank, world, init, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=init.as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=5)
    )
    results: dict[Any, Any] = {}
    for case in CASES:
        loss = build(case)
        found = outcome(loss, *share(rank, whole_batch(case)))
        for name, _ in loss.named_parameters():
            dist.all_reduce(found[name])
            found[name] /= world
        results[tuple(case)] = found
    case = CASES[0]
    wrapped = nn.parallel.DistributedDataParallel(build(case))
    results["ddp"] = outcome(wrapped, *share(rank, whole_batch(case)))

    rows = torch.full((SHARES[rank], 2), float(rank))
    results["rows"] = all_gather_rows(rows, list(SHARES))
    results["aliased"] = aliased_gradient()
    results["collectives"] = collectives(build(Case("infonce", "dot", 1, masked=False)), rank)
    bilinear = LocalDIMLoss(C, D, critic="bilinear", gather=True)
    good = torch.zeros(2, C, 4), torch.zeros(2, D)
    results["globals differ"] = error_of(lambda: bilinear(good[0], torch.zeros(2, D, 1 + rank)))
    results["wrong on one rank"] = error_of(lambda: bilinear(good[0][:, : C - rank], good[1]))
    results["one in all"] = error_of(lambda: bilinear(*(part[: 1 - rank] for part in good)))
    on_one = DIMLoss(C, D, (4,), alpha=1.0, units=4, gather=True)
    if rank == 0:  # measuring is local unless it is asked to gather: nobody waits
        results["measured alone"] = on_one.mutual_information(torch.randn(3, C, 4), torch.randn(3, D)).local
    results["table"] = error_of(lambda: gather_scores(TableScores(torch.zeros(3, 3), None), None))
    torch.save(results, out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
