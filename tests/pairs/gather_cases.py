"""Batches that are split over processes: the losses that are compared, their inputs and their results."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from own_critic import Distance
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from infomax import NWJ, FDivergence, GlobalDIMLoss, InfoMaxLoss, InfoNCE, LocalDIMLoss, ScoreRegularised
from infomax.losses.base import InformationLoss

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))
FSDP_ON_CPU = TORCH >= (2, 7)  # torch 2.6 cannot shard on the CPU
C, D = 3, 2
SHARES = (1, 3, 1)  # examples per rank; two of the ranks have only one
ESTIMATORS = ["infonce", "jsd", "dv", "nwj", "smile", "mine", "kl", "rkl", "hellinger", "chi2", "gan"]
ESTIMATORS += ["tuba", "alpha_tuba", "wasserstein", "logistic", "anchored"]


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
    # The default critic in training mode: its batch norm uses the rows of all processes.
    *(Case(name, "dot", 1, masked=False) for name in ("infonce", "jsd", "dv", "mine", "alpha_tuba")),
    Case("infonce", "dot", 2, masked=True),
    Case("jsd", "cosine", 2, masked=False),
    Case("dv", "own", 1, masked=False),
    Case("two views", "cosine", 1, masked=False),
    Case("two views, same side", "cosine", 1, masked=False),
    Case("ragged", "dot", 2, masked=False),
    Case("given negatives", "dot", 1, masked=False),
    Case("given negatives alone", "bilinear", 1, masked=True),
    # Groups that span processes. A process with one example holds one group only.
    Case("groups", "dot", 1, masked=False),
    Case("groups", "bilinear", 2, masked=True),
    Case("groups", "concat", 1, masked=False),
    Case("groups, chi2", "cosine", 1, masked=False),
    Case("groups, ragged", "dot", 1, masked=False),
    Case("groups, two views, same side", "cosine", 1, masked=False),
    Case("groups, given negatives", "dot", 1, masked=False),
    Case("groups, given negatives with groups", "bilinear", 1, masked=True),
    Case("groups, given negatives with groups, alone", "concat", 1, masked=False),
    Case("global", "dot", 1, masked=False),
    Case("global", "dot", 1, masked=True),
]


def chosen(which: str) -> list[Case]:
    """Return every case, or only every third case."""
    return CASES if which == "every" else CASES[::3]


# Cases that also run with a wrapped loss.
WRAPPED = [
    CASES[0],
    Case("infonce", "dot", 2, masked=True),
    Case("dv", "own", 1, masked=False),
    Case("two views", "cosine", 1, masked=False),
    Case("global", "dot", 1, masked=False),
]


def build(case: Case, *, gather: bool | str = True, group: Any = None) -> InformationLoss:
    torch.manual_seed(0)
    options: dict[str, Any] = {"critic": case.critic, "gather": gather, "process_group": group, "dtype": torch.float64}
    if case.critic == "own":
        options["critic"] = Distance(C, D)
    elif case.critic != "bilinear":
        options["units"] = 4
    if case.estimator == "global":
        return GlobalDIMLoss(C, D, (4,), **options)
    if "two views" in case.estimator:
        return InfoMaxLoss(D, D, same_side="same" in case.estimator, **options)
    if "ragged" in case.estimator or "given" in case.estimator:
        return LocalDIMLoss(C, D, in_batch="alone" not in case.estimator, **options)
    if case.estimator.startswith("groups"):
        return LocalDIMLoss(C, D, estimator="chi2" if "chi2" in case.estimator else "infonce", **options)
    # A soft clip, and then a hard one.
    bent = ScoreRegularised(ScoreRegularised(NWJ(), weight=0.0, clip=0.5, soft=False), weight=0.0, clip=1.0)
    # A loss refuses the short name "rkl".
    particular = {"softly clipped": bent, "rkl": FDivergence("rkl"), "anchored": InfoNCE(anchor=0.5)}
    return LocalDIMLoss(C, D, estimator=particular.get(case.estimator, case.estimator), **options)


def whole_batch(case: Case) -> dict[str, Tensor]:
    """Return the arguments of the loss of a case. Every tensor is split by examples, the negatives too."""
    generator = torch.Generator().manual_seed(1)
    n = sum(SHARES)
    local = torch.randn(n, C, 4, generator=generator, dtype=torch.float64)
    global_ = torch.randn(n, D, case.globals_, generator=generator, dtype=torch.float64)
    given = {"local": local, "global_": global_}
    mask = torch.rand(n, 4, generator=generator) < 0.6  # so that the processes hold unequal numbers of rows
    mask[:, 1] = True
    mask[3] = False  # and one example is absent
    if case.masked:
        given["mask"] = mask
    if "given" in case.estimator:
        given["negatives"] = torch.randn(n, C, generator=generator, dtype=torch.float64)
    if "two views" in case.estimator:
        given = {"local": local.flatten(1)[:, :D], "global_": global_[:, :, 0]}
    if case.estimator.startswith("groups"):
        given["group"] = torch.tensor([7, -3, -3, 2, 7])
        if "with groups" in case.estimator:
            given["group of negatives"] = torch.tensor([2, 7, -3, 50, -3])
    return given


def outcome(loss: nn.Module, given: dict[str, Tensor], case: Case, *, gather: bool | str = True) -> dict[str, Tensor]:
    """Return loss, estimate, buffers and gradients, after a first call that starts MINE's average on another batch."""
    inner = loss.module if isinstance(loss, nn.parallel.DistributedDataParallel) else loss
    leaves = {name: value.clone().requires_grad_(value.is_floating_point()) for name, value in given.items()}
    if inner.estimator.fits_density:  # the loss refuses globals that need a gradient
        leaves["global_"].requires_grad_(False)
    used = dict(leaves)
    if "group of negatives" in used:
        used["group"] = torch.cat([used["group"], used.pop("group of negatives")])
    if "ragged" in case.estimator:  # one to four rows per example, in reverse order
        n = len(used["local"])
        rows = used["local"].transpose(1, 2).reshape(-1, C)
        batch = torch.arange(n).repeat_interleave(4)
        real = (torch.arange(4 * n) % 4 == 0) | (rows.detach()[:, 0] > 0)
        keep = real.nonzero().squeeze(1).flip(0)
        used |= {"local": rows[keep], "batch": batch[keep]}
    before = used | {"local": 0.7 * used["local"].detach()}
    with torch.no_grad():
        loss(before.pop("local"), before.pop("global_"), **before)
    features = used.pop("local"), used.pop("global_")
    value = loss(*features, **used)
    value.backward()
    results = {"loss": value.detach(), "nats": inner.mutual_information(*features, **used, gather=gather)}
    results |= {name: buffer.clone() for name, buffer in inner.named_buffers()}
    gradients = {name: whole(parameter.grad) for name, parameter in inner.named_parameters()}
    of_features = {name: leaves[name].grad for name in ("local", "global_") if leaves[name].grad is not None}
    return results | gradients | of_features


def whole(gradient: Tensor | None) -> Tensor | None:
    """Return the whole gradient of a parameter that may be sharded."""
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def share(rank: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the examples of a process."""
    start = sum(SHARES[:rank])
    return {name: value[start : start + SHARES[rank]] for name, value in given.items()}
