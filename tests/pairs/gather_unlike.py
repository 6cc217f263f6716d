"""One of two processes whose losses differ in one setting, run by test_unlike.py.

``python gather_unlike.py RANK WORLD FOLDER``. An endless wait shows as a timeout of the process group.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from pairs.gather_cases import C, D
from pairs.gather_faults import error_of
from processes import as_rank

from infomax import CosineCritic, DIMLoss, GlobalDIMLoss, InfoMaxLoss, InfoNCE, LocalDIMLoss, PairScores
from infomax.estimators import SMILE, TUBA


class First(InfoNCE):
    """An estimator of a user's."""


class Second(InfoNCE):
    """Another one."""

    def forward(self, scores: PairScores) -> torch.Tensor:
        return 3 * super().forward(scores)


_OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "units": ({"units": 4}, {"units": 8}),
    "critic": ({"critic": "concat", "units": 4}, {"units": 4}),
    "scale": (
        {"critic": partial(CosineCritic, temperature=0.1), "units": None},
        {"critic": partial(CosineCritic, temperature=0.2), "units": None},
    ),
    "estimator": ({}, {"estimator": "jsd"}),
    "estimator's option": ({"estimator": SMILE(clip=5.0)}, {"estimator": SMILE(clip=1.0)}),
    "estimator's parts": ({"estimator": TUBA()}, {"estimator": TUBA(baseline="learned")}),
    "directions": ({}, {"symmetric": False}),
    "sides": ({}, {"same_side": True}),
    "weight of a term": ({}, {"alpha": 0.5}),
    "prior of a term": ({}, {"prior": "normal"}),
    "negatives": ({}, {"in_batch": False}),
    "estimator's class": ({"estimator": First()}, {"estimator": Second()}),
    "exact scale": (
        {"critic": partial(CosineCritic, temperature=0.1), "units": None},
        {"critic": partial(CosineCritic, temperature=0.100001), "units": None},
    ),
    "form": ({"gather": True}, {"gather": "ring"}),
    "dtype": ({"dtype": torch.float32}, {"dtype": torch.float64}),
}


def _of_options(rank: int, name: str) -> Callable[[], Any]:
    options = {"units": 4, "gather": True, **_OPTIONS[name][rank]}
    if name in ("directions", "sides"):
        pair = InfoMaxLoss(C, C, **options)
        return lambda: pair(torch.randn(3, C), torch.randn(3, C)).backward()
    if name.endswith("of a term"):
        whole = DIMLoss(C, D, local_size=(4,), **options)
        return lambda: whole(torch.randn(3, C, 4), torch.randn(3, D)).backward()
    loss_fn = LocalDIMLoss(C, D, **options)
    kind = next(loss_fn.parameters()).dtype
    more = {"negatives": torch.randn(2, C)} if name == "negatives" else {}
    return lambda: loss_fn(torch.randn(3, C, 4, dtype=kind), torch.randn(3, D, dtype=kind), **more).backward()


def _evaluated(rank: int, *, ring: bool, part: str = "") -> Callable[[], Any]:
    loss_fn = LocalDIMLoss(C, D, units=4, gather="ring" if ring else True)
    loss_fn.get_submodule(part).train(rank == 0)
    return lambda: loss_fn(torch.randn(3, C, 4), torch.randn(3, D)).backward()


def _autocast(rank: int) -> Callable[[], Any]:
    loss_fn = LocalDIMLoss(C, D, units=4, gather=True)

    def call() -> None:
        context: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16) if rank else nullcontext()
        with context:
            loss_fn(torch.randn(3, C, 4), torch.randn(3, D))

    return call


def _features(rank: int) -> Callable[[], Any]:
    loss_fn = LocalDIMLoss(C, C, critic=partial(CosineCritic, units=None), gather=True)
    kind = torch.float64 if rank else torch.float32
    return lambda: loss_fn(torch.randn(3, C, 4, dtype=kind), torch.randn(3, C, dtype=kind))


def _transformed(rank: int) -> Callable[[], Any]:
    loss_fn = LocalDIMLoss(C, D, critic="bilinear", gather=True)
    local, global_ = torch.randn(3, C, 4), torch.randn(3, D)
    return lambda: torch.func.grad(lambda part: loss_fn(part, global_))(local) if rank else loss_fn(local, global_)


def _kind(rank: int) -> Callable[[], Any]:
    local = LocalDIMLoss(C, D, units=4, gather=True)
    whole = GlobalDIMLoss(C, D, (4,), units=4, gather=True)
    return lambda: (whole if rank else local)(torch.randn(3, C, 4), torch.randn(3, D))


def _measured(rank: int) -> Callable[[], Any]:
    loss_fn = LocalDIMLoss(C, D, units=4, gather=True)
    features = torch.randn(3, C, 4), torch.randn(3, D)
    return lambda: loss_fn.mutual_information(*features, gather=True) if rank else loss_fn.scores(*features)


def _prior(rank: int) -> Callable[[], Any]:
    loss_fn = DIMLoss(C, D, alpha=0.0, beta=1.0, gamma=1.0, units=4, gather=True)
    features = torch.randn(3, C, 4), torch.randn(3, D)

    def call() -> None:
        if rank == 0:
            loss_fn(*features)
        else:
            for _ in range(
                2
            ):  # the first call is through, but the other process is then in the prior term of its first
                loss_fn.get_submodule("local_term")(*features)

    return call


CASES: dict[str, Callable[[int], Callable[[], Any]]] = {
    **{name: partial(_of_options, name=name) for name in _OPTIONS},
    "mode": partial(_evaluated, ring=False),
    "mode, ring": partial(_evaluated, ring=True),
    "mode of a part": partial(_evaluated, ring=False, part="critic.local_projection"),
    "autocast": _autocast,
    "features": _features,
    "transformed": _transformed,
    "kind": _kind,
    "method": _measured,
    "prior": _prior,
}


def main() -> None:
    with as_rank(20) as (rank, results):
        alike = LocalDIMLoss(C, D, units=4, gather=True)
        for name, make in CASES.items():
            said = error_of(make(rank))
            after = error_of(lambda: alike(torch.randn(3, C, 4), torch.randn(3, D)).backward())
            results[name] = said, after
            dist.barrier()


if __name__ == "__main__":
    main()
