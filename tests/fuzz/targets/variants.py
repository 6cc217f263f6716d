"""Occlusion, coordinates, penalties."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import INTEGERS, mask, number, option, size, tensor
from infomax import BilinearCritic, ConcatCritic, CoordinateLoss, CosineCritic, DotCritic, occlude
from infomax.variants import activation_penalty, gradient_penalty


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    source.choice([_occlude, _coordinates, _activation, _gradient])(source)


def _sizes(source: Source) -> tuple[int, ...]:
    return tuple(source.choice([3, 2, 1, 5, 0]) for _ in range(source.choice([2, 1, 3, 0])))


def _occlude(source: Source) -> None:
    shape = (source.choice([2, 1, 0]), source.choice([3, 1, 0]), *_sizes(source))
    images = tensor(source, shape, source.likely(torch.float32, [torch.float64, torch.float16, torch.bfloat16]))
    hidden = attempt(
        occlude,
        images,
        number(source, (0.5, 0.01, 0.99)),
        fill=number(source, (0.0, 0.5, -1, 1e4)),
        generator=_generator(source),
    )
    if hidden.shape != images.shape or hidden.dtype != images.dtype:
        raise Finding("occlude changed the shape or the dtype")


def _coordinates(source: Source) -> None:
    sizes = _sizes(source)
    build = partial(
        CoordinateLoss,
        option(source, [3], INTEGERS),
        option(source, [sizes, list(sizes)], [4, "44", (2.0, 2), (10**20, 2), None, (0, 2)]),
        option(source, [2], INTEGERS),
        relative=bool(source.below(2)),
        units=size(source),
    )
    loss_fn = attempt(build, names=("local_dim", "size", "global_dim", "units"))
    n = source.choice([3, 1, 0])
    local, global_ = tensor(source, (n, 3, *sizes)), tensor(source, (n, 2, *([2] if source.rarely() else [])))
    given = mask(source, (n, *sizes)) if source.below(2) else None
    loss = attempt(loss_fn, local, global_, given, generator=_generator(source), names=("local", "global_"))
    if loss.requires_grad and not loss.is_meta:
        attempt(loss.backward)


def _activation(source: Source) -> None:
    shape = (source.choice([2, 1, 0]), 3, *_sizes(source))
    features = tensor(source, shape)
    given = mask(source, (shape[0], *shape[2:])) if source.below(2) else None
    penalty = attempt(activation_penalty, features, given)
    if penalty.requires_grad and not penalty.is_meta:
        attempt(penalty.backward)


def _gradient(source: Source) -> None:
    critic: Any = source.choice(
        [BilinearCritic, partial(CosineCritic, units=3), partial(ConcatCritic, units=3), DotCritic]
    )
    critic = option(source, [critic(3, 2)], [None, 3, torch.nn.Linear(3, 2), "bilinear"])
    n, sizes = source.choice([3, 2, 1, 0]), _sizes(source)
    local, global_ = tensor(source, (n, 3, *sizes)), tensor(source, (n, 2))
    given = mask(source, (n, *sizes)) if source.below(2) else None
    penalty = attempt(
        gradient_penalty, critic, local, global_, given, target=number(source, (1.0, 0.0)), generator=_generator(source)
    )
    if penalty.requires_grad and not penalty.is_meta:
        attempt(penalty.backward)


def _generator(source: Source) -> Any:
    return source.choice([torch.Generator(), 3, "seed"]) if source.rarely() else None
