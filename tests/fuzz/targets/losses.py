"""The losses: options, features, masks, ragged rows, given negatives, groups, drawn pairs."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from torch import nn

import infomax
from fuzz.laws import check_laws
from fuzz.oracle import Finding, attempt, check_gradients
from fuzz.source import Source
from fuzz.values import INTEGERS, NUMBERS, integers, mask, option, size, tensor
from infomax import DIMLoss, GlobalDIMLoss, InfoMaxLoss, LocalDIMLoss

LOCAL, GLOBAL = 4, 3
_ESTIMATORS: list[Any] = ["infonce", "jsd", "logistic", "dv", "nwj", "smile", "mine", "tuba", "alpha_tuba", "kl"]
_ESTIMATORS += [
    "rkl",
    infomax.FDivergence("rkl"),
    "hellinger",
    "chi2",
    "gan",
    "wasserstein",
    "club",
    "leave_one_out",
    infomax.MINE,
    infomax.InfoNCE(),
]
_ESTIMATORS += [partial(infomax.ScoreRegularised, "jsd"), infomax.SMILE(clip=2.0)]
_CRITICS: list[Any] = ["dot", "bilinear", "concat", "cosine", "gaussian", "lipschitz", infomax.BilinearCritic]
_CRITICS += [partial(infomax.DotCritic, units=4, scale="learned"), partial(infomax.CosineCritic, units=4, bias=-1.0)]
_WRONG: list[Any] = [None, 3, "DIM", "", nn.Linear(3, 4), print, nn.Linear, infomax.FLO, torch.zeros(2), object()]
_EXPONENTIAL = ("nwj", "kl", "hellinger")
_OPTIONS = {
    "y",  # the prior term's name for the global features
    *inspect.signature(DIMLoss).parameters,
    *inspect.signature(LocalDIMLoss).parameters,
    *inspect.signature(InfoMaxLoss).parameters,
}


def run(source: Source) -> None:
    kind = source.choice([LocalDIMLoss, GlobalDIMLoss, DIMLoss, InfoMaxLoss])
    torch.manual_seed(source.byte())
    estimator, critic = option(source, _ESTIMATORS, _WRONG), option(source, _CRITICS, _WRONG)
    if estimator == "wasserstein" and source.byte() < 200:
        critic = "lipschitz"
    if estimator in ("club", "leave_one_out") and source.byte() < 200:
        critic = "gaussian"
    options = {"estimator": estimator, "critic": critic}
    if critic in ("dot", "concat", "cosine", "gaussian", "lipschitz"):
        options["units"] = size(source)
    in_batch = source.byte() < 224
    options["in_batch"] = in_batch
    if source.rarely():
        options["sample_negatives"] = size(source, (1, 2, 3))
    if source.rarely() and kind is not DIMLoss:
        options["reduction"] = source.choice(["none", "mean", "sum", None])
    if source.rarely():
        options["dtype"] = source.choice([torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.complex64])
    local_size = tuple(source.choice([1, 2, 3]) for _ in range(source.below(3)))
    build = {
        LocalDIMLoss: _local,
        GlobalDIMLoss: _global,
        DIMLoss: _whole,
        InfoMaxLoss: _vectors,
    }[kind](source, options, local_size)
    loss_fn = attempt(build, names=_OPTIONS)
    bare = estimator in _EXPONENTIAL or isinstance(estimator, infomax.FDivergence)
    _call(source, loss_fn, local_size, in_batch, infinite=bare)


def _dims(source: Source) -> tuple[Any, Any]:
    return option(source, [LOCAL], INTEGERS), option(source, [GLOBAL], INTEGERS)


def _local(source: Source, options: dict[str, Any], local_size: tuple[int, ...]) -> Any:
    if source.rarely():
        options["sample_locations"] = size(source, (1, 2, 9))
    return partial(LocalDIMLoss, *_dims(source), **options)


def _global(source: Source, options: dict[str, Any], local_size: tuple[int, ...]) -> Any:
    return partial(GlobalDIMLoss, *_dims(source), _size(source, local_size), **options)


def _size(source: Source, local_size: tuple[int, ...]) -> Any:
    return option(source, [local_size], [8, None, "88", (2, 0), (2.0, 2), (1,) * 9, [2], (10**20,), torch.Size([2])])


def _whole(source: Source, options: dict[str, Any], local_size: tuple[int, ...]) -> Any:
    for name, plain in (("alpha", (0.0, 1.0)), ("beta", (1.0, 0.5, 0.0)), ("gamma", (0.1, 0.0, 1))):
        options[name] = option(source, plain, NUMBERS)
    if source.below(2):
        options["prior"] = option(source, ["uniform", "normal"], ["gamma", None, nn.Linear(3, 1), 3])
    return partial(DIMLoss, *_dims(source), _size(source, local_size), **options)


def _vectors(source: Source, options: dict[str, Any], local_size: tuple[int, ...]) -> Any:
    options["symmetric"], options["same_side"] = bool(source.below(2)), source.byte() >= 192
    return partial(InfoMaxLoss, *_dims(source), **options)


def _call(source: Source, loss_fn: nn.Module, local_size: tuple[int, ...], in_batch: bool, *, infinite: bool) -> None:
    dtype = next((p.dtype for p in loss_fn.parameters()), torch.float32)
    n = source.choice([4, 2, 3, 5, 1, 0]) if source.below(4) else 4
    vectors = isinstance(loss_fn, InfoMaxLoss)
    spatial = () if vectors else local_size
    given: dict[str, Any] = {}
    global_ = tensor(source, (n, GLOBAL, *([2] if not vectors and source.rarely() else [])), dtype)
    if not vectors and source.byte() >= 224:
        rows = n + source.below(6)
        local = tensor(source, (rows, LOCAL), dtype)
        given["batch"] = integers(source, rows, n)
    else:
        local = tensor(source, (n, LOCAL, *spatial), dtype)
    if not vectors and source.below(4) == 3:
        given["mask"] = mask(source, (n, *spatial))
    if not in_batch or source.byte() >= 224:
        given["negatives"] = tensor(source, (source.below(4), LOCAL, *spatial), dtype)
    if source.byte() >= 224:
        given["group"] = integers(source, n, source.choice([2, n, 1]))
    if source.rarely():
        given["generator"] = source.choice([torch.Generator(), 3, None, "seed"])
    state = torch.get_rng_state()
    call: Any = loss_fn
    if source.rarely():
        call = torch.no_grad()(loss_fn.forward)
    if source.rarely() and dtype == torch.float32:
        call = torch.autocast("cpu", torch.bfloat16)(loss_fn.forward)
    nats = attempt(loss_fn.mutual_information, local, global_, names=_OPTIONS, infinite=True, **given)
    if not torch.equal(torch.get_rng_state(), state):
        raise Finding("mutual_information changed the random state")
    check_laws(loss_fn, local, global_, given, nats)
    result = attempt(call, local, global_, names=_OPTIONS, infinite=infinite, **given)
    loss = getattr(result, "loss", result)
    if loss.requires_grad and not loss.is_meta:
        attempt(loss.sum().backward)
        check_gradients([local, global_, *given.values(), *loss_fn.parameters()], loss)
