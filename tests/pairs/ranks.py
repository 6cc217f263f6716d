"""One process of a group, run by test_gather.py: its share of every case, and what came of it.

``python ranks.py RANK WORLD INIT_FILE OUT``
"""

from __future__ import annotations

import copy
import gc
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from infomax import (
    NWJ,
    DIMLoss,
    FDivergence,
    GlobalDIMLoss,
    InfoMaxLoss,
    LocalDIMLoss,
    PriorMatchingLoss,
    ScoreRegularised,
    ops,
)
from infomax.losses.base import InformationLoss
from infomax.ops import use_backend
from infomax.pairs.processes import Processes
from infomax.scores import TableScores, gather_scores
from infomax.training import cached_backward

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))
FSDP_ON_CPU = TORCH >= (2, 7)  # torch 2.6 cannot shard there
C, D = 3, 2
SHARES = (1, 3, 1)  # one example on a rank
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
    Case("two views", "cosine", 1, masked=False),
    Case("two views, same side", "cosine", 1, masked=False),
    Case("ragged", "dot", 2, masked=False),
    Case("given negatives", "dot", 1, masked=False),
    Case("given negatives alone", "bilinear", 1, masked=True),
    # Groups that processes share; one of them holds examples of one group alone.
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
    """Every case; or some, of every kind of term."""
    return CASES if which == "every" else CASES[::3]


# Those that are wrapped as well.
WRAPPED = [CASES[0], CASES[CASES.index(Case("infonce", "dot", 2, masked=True))], Case("dv", "own", 1, masked=False)]


class Distance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(D, C)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(local - self.embed(global_)).square().sum(1)


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4 * C, D), nn.Linear(4 * C, D)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(images.flatten(1)), self.second(images.flatten(1)).tanh()


def build(case: Case, *, gather: bool | str = True, group: Any = None) -> InformationLoss:
    torch.manual_seed(0)
    options: dict[str, Any] = {"critic": case.critic, "gather": gather, "process_group": group, "dtype": torch.float64}
    if case.critic == "own":
        options["critic"] = Distance()
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
    # Bent, and then cut off.
    bent = ScoreRegularised(ScoreRegularised(NWJ(), weight=0.0, clip=0.5, soft=False), weight=0.0, clip=1.0)
    particular = {"softly clipped": bent, "rkl": FDivergence("rkl")}  # by its name the latter is refused
    return LocalDIMLoss(C, D, estimator=particular.get(case.estimator, case.estimator), **options)


def whole_batch(case: Case) -> dict[str, Tensor]:
    """What the loss of a case is called with; each tensor is split by examples, negatives likewise."""
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
    """Loss, estimate and gradients; the average of MINE has seen another batch before."""
    inner = loss.module if isinstance(loss, nn.parallel.DistributedDataParallel) else loss
    leaves = {name: value.clone().requires_grad_(value.is_floating_point()) for name, value in given.items()}
    if inner.estimator.fits_density:  # refuses globals that learn
        leaves["global_"].requires_grad_(False)
    used = dict(leaves)
    if "group of negatives" in used:
        used["group"] = torch.cat([used["group"], used.pop("group of negatives")])
    if "ragged" in case.estimator:  # one to four rows per example, the last first
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
    """A gradient of a sharded parameter in one piece."""
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def share(rank: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """A process's examples."""
    start = sum(SHARES[:rank])
    return {name: value[start : start + SHARES[rank]] for name, value in given.items()}


def error_of(call: Any) -> str:
    said = "nothing was raised"
    try:
        call()
    except (TypeError, ValueError, RuntimeError) as error:
        said = f"{type(error).__name__}: {error}"
    if TORCH < (2, 7):  # whose checkpoint keeps its hooks until what an error holds is collected
        gc.collect()
    return said


def aliased_gradient() -> Tensor:
    """The gradient of a sum goes to both its terms: summing it over processes for one must not change the other's."""
    ours = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    other = torch.ones(2 * len(SHARES), 1, dtype=torch.float64, requires_grad=True)
    doubled = 2 * other
    total = doubled + Processes().gather_rows(ours, [2] * len(SHARES))
    total.square().sum().backward()
    assert other.grad is not None
    return other.grad


def none_on_a_rank(rank: int) -> list[tuple[Tensor, Tensor]]:
    """A process whose share is empty: its loss beside that of one process."""
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
    """Features of one process alone have a gradient, and the others have no example or an encoder that is frozen."""
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
    """A gradient penalty on gathered scores: the gradient of a squared gradient."""
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


def collectives(loss: nn.Module, rank: int) -> int:
    """How many collectives a loss of unmasked features calls in its forward pass."""
    called, names = [], ("all_gather", "all_reduce", "batch_isend_irecv")
    originals = {name: getattr(dist, name) for name in names}
    for name in names:
        setattr(dist, name, lambda *given, name=name, **options: (called.append(name), originals[name](*given))[1])
    given = share(rank, whole_batch(Case("infonce", "dot", 1, masked=False)))
    loss(given["local"], given["global_"])
    for name, original in originals.items():
        setattr(dist, name, original)
    return len(called)


def large_batch(rank: int) -> dict[str, Any]:
    """A step of `cached_backward` with a wrapped encoder and gathered negatives, and how often gradients travel."""
    images = torch.randn(10, C, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    images = images[(0, 4, 7)[rank] : (4, 7, 10)[rank]]  # two chunks each, as FSDP2 needs
    loss_fn = InfoMaxLoss(D, D, critic="bilinear", gather=True, dtype=torch.float64)
    found: dict[str, Any] = {}
    if FSDP_ON_CPU:
        torch.manual_seed(0)
        sharded_ = Views().double()
        fully_shard(sharded_, mesh=init_device_mesh("cpu", (len(SHARES),)))
        found["sharded loss"] = cached_backward(sharded_, loss_fn, images, chunk_size=2)
        found["sharded"] = [whole(parameter.grad) for parameter in sharded_.parameters()]
    for cached in (False, True):
        torch.manual_seed(0)
        encoder = nn.parallel.DistributedDataParallel(Views().double())
        travels: list[int] = []
        encoder.register_comm_hook(travels, lambda seen, bucket: (seen.append(1), allreduce_hook(None, bucket))[1])
        if cached:
            found["loss"] = cached_backward(encoder, loss_fn, images, chunk_size=2)
        else:
            loss = loss_fn(*encoder(images))
            loss.backward()
            found["expected loss"] = loss.detach()
        found["travels"] = len(travels)
        found["gradients" if cached else "expected"] = [parameter.grad.clone() for parameter in encoder.parameters()]
    return found


class Faulty(nn.Module):
    """Scores aligned rows, and fails on one rank."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.embed = nn.Linear(D, C)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        if self.rank == 1 and len(local):
            raise RuntimeError("out of memory, say")
        return -(local - self.embed(global_)).square().sum(1)


class FaultyBackward(torch.autograd.Function):
    """Its argument, without a backward pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raise RuntimeError("out of memory, say")


class FaultyLater(Faulty):
    """Scores aligned rows, and fails on one rank in the backward pass."""

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        scores = -(local - self.embed(global_)).square().sum(1)
        return FaultyBackward.apply(scores) if self.rank == 1 else scores


def scores_that_fail(rank: int) -> dict[str, Any]:
    """An error in the pairwise ops on one rank, or in the backward pass of scores, on the first or the second call."""
    found: dict[str, Any] = {}
    features = torch.randn(3, C, 4, requires_grad=True), torch.randn(3, D, requires_grad=True)
    original = ops.pairwise_with_joint

    def step(loss: nn.Module) -> None:
        loss(*features).backward()

    for gather in (True, "ring"):
        own = LocalDIMLoss(C, D, critic=FaultyLater(rank), gather=gather)
        found[f"own, {gather}, backward"] = error_of(lambda own=own: step(own))
        frozen = [part.detach() for part in features]
        found[f"own, {gather}, frozen"] = error_of(lambda own=own, frozen=frozen: own(*frozen).backward())
        loss = LocalDIMLoss(C, D, units=4, gather=gather)
        for place in ("forward", "backward"):
            for good_calls in range(2 if gather == "ring" else 1):
                calls = iter(range(100))

                def fail(*given: Any, options: Any = (place, good_calls, calls), **more: Any) -> Any:
                    where, good, made = options
                    if next(made) < good:
                        return original(*given, **more)
                    if where == "forward":
                        raise RuntimeError("out of memory, say")
                    marginal, joint = original(*given, **more)
                    return FaultyBackward.apply(marginal), joint

                if rank == 1:
                    ops.pairwise_with_joint = fail
                found[f"dot, {gather}, {place}, {good_calls}"] = error_of(lambda loss=loss: step(loss))
                ops.pairwise_with_joint = original
                step(loss)  # and the processes are in step
    return found


def later_than_scores(rank: int) -> tuple[str, float]:
    """A backward pass that fails on one rank behind the scores, in a projection: the timeout ends the others' wait."""
    group = dist.new_group(list(range(len(SHARES))), timeout=timedelta(seconds=3))
    loss = LocalDIMLoss(C, D, units=4, gather=True, process_group=group)
    if rank == 1:
        loss.critic.local_projection.output.register_forward_hook(lambda _, given, rows: FaultyBackward.apply(rows))
    value = loss(torch.randn(3, C, 4), torch.randn(3, D))
    start = time.perf_counter()
    return error_of(value.backward), time.perf_counter() - start


def critics_that_fail(rank: int) -> dict[str, Any]:
    """A critic that fails on one rank, before, between and after the exchanges that it makes itself."""
    found: dict[str, Any] = {}
    features = torch.randn(3, C, 4), torch.randn(3, D)
    for gather in (True, "ring"):
        loss = LocalDIMLoss(C, D, critic=Faulty(rank), gather=gather)
        found[f"own, {gather}"] = error_of(lambda loss=loss: loss(*features))
    for place in ("global_projection.hidden", "local_projection.hidden", "local_projection.output"):
        torch.manual_seed(0)
        loss = LocalDIMLoss(C, D, units=4, gather=True)
        if rank == 1:

            def fail(layer: nn.Module, given: tuple[Tensor]) -> None:
                if len(given[0]):
                    raise RuntimeError("out of memory, say")

            hook = loss.critic.get_submodule(place).register_forward_pre_hook(fail)
        found[place] = error_of(lambda loss=loss: loss(*features))
        found[f"{place}, statistics"] = {name: buffer.clone() for name, buffer in loss.named_buffers()}
        if rank == 1:
            hook.remove()
        loss(*features).backward()  # and the processes are in step
    return found


def sharded(rank: int, whole_batch_: dict[str, Tensor], case: Case, gather: bool | str) -> dict[str, Tensor]:
    """A case under FSDP2."""
    loss = build(case, gather=gather)
    # By default a root keeps its weights whole after a forward pass, until the next backward one.
    fully_shard(loss, mesh=init_device_mesh("cpu", (len(SHARES),)), reshard_after_forward=True)
    register_fsdp_forward_method(loss, "mutual_information")
    return outcome(loss, share(rank, whole_batch_), case, gather=gather)


def own_discriminator() -> dict[str, Any]:
    """The prior term with a discriminator of one's own under FSDP2: sharded by itself, and as a part of the term."""

    def build_prior() -> PriorMatchingLoss:
        torch.manual_seed(0)
        prior = PriorMatchingLoss(D)
        prior.discriminator = nn.Sequential(nn.Linear(D, 4), nn.Tanh(), nn.Linear(4, 1))
        return prior

    y = torch.randn(8, D, generator=torch.Generator().manual_seed(2))
    found: dict[str, Any] = {}
    mesh = init_device_mesh("cpu", (len(SHARES),))
    for name in ("plain", "as a part", "by itself"):
        prior = build_prior()
        if name == "by itself":
            fully_shard(prior.discriminator, mesh=mesh)
        if name != "plain":
            fully_shard(prior, mesh=mesh)

        def step(prior: nn.Module = prior) -> None:
            prior(y, generator=torch.Generator().manual_seed(3)).backward()

        found[name] = error_of(step)
        if name != "by itself":
            found[name] = [whole(parameter.grad) for parameter in prior.parameters()]
    return found


def main() -> None:
    rank, world, init, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=init.as_uri(), rank=rank, world_size=world, timeout=timedelta(minutes=5)
    )
    results: dict[Any, Any] = {}
    for case in chosen(sys.argv[5]):
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
            loss = copy.deepcopy(build(CASES[0], gather=gather, group=group))  # a group itself cannot be copied
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
        results["collectives", gather] = collectives(
            build(Case("infonce", "dot", 1, masked=False), gather=gather), rank
        )
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
    if rank == 0:  # measuring is local unless it is asked to gather: nobody waits
        results["measured alone"] = on_one.mutual_information(torch.randn(3, C, 4), torch.randn(3, D)).local
    results["table"] = error_of(lambda: gather_scores(TableScores(torch.zeros(3, 3), None), None, Processes()))
    if FSDP_ON_CPU:
        results["own discriminator"] = own_discriminator()
    results["second derivative"] = second_derivative(rank)
    torch.save(results, out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
