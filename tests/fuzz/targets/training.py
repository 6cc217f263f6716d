"""The gradient cache and the queue of past features."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fuzz.oracle import Finding, attempt, is_tame
from fuzz.source import Source
from fuzz.values import INTEGERS, option, size, tensor
from infomax import InfoMaxLoss
from infomax.training import FeatureQueue, cached_backward

_NAMES = ("features", "loss_fn", "inputs", "chunk_size", "scaler", "x", "y", "negatives", "group", "local", "global_")


class Pair(nn.Module):
    """An encoder that returns two features of each vector."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x if other is None else other)


class Named(Pair):
    """The same encoder, with the features in a dict."""

    def forward(self, x: Tensor, other: Tensor | None = None) -> dict[str, Tensor]:  # type: ignore[override]
        first, second = super().forward(x, other)
        return {"x": first, "y": second}


class Odd(nn.Module):
    """An encoder that returns a given object instead of features."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.weight, self.result = nn.Parameter(torch.ones(())), result

    def forward(self, x: Tensor) -> Any:
        return self.result


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    if source.below(2):
        _queue(source)
    else:
        _cached(source)


def _cached(source: Source) -> None:
    features = option(
        source,
        [Pair(), Named()],
        [
            None,
            3,
            lambda x: x,
            Odd(None),
            Odd("no"),
            Odd(torch.ones(())),
            Odd(torch.ones(3)),
            Odd(()),
            Odd({}),
            Odd((None,)),
            nn.BatchNorm1d(3),
            nn.Linear(3, 2),
        ],
    )
    loss_fn = option(
        source,
        [InfoMaxLoss(2, 2, units=3)],
        [
            None,
            3,
            lambda *a, **k: None,
            lambda *a, **k: 3.0,
            lambda *a, **k: a,
            lambda *a, **k: torch.ones(()),
            lambda *a, **k: torch.ones(2),
        ],
    )
    n = source.choice([5, 2, 1, 0, 7])
    x = tensor(source, (n, 3), gradient=False)
    inputs = option(
        source,
        [x, (x,), [x], {"x": x}, (x, x)],
        [None, 3, (), {}, "x", (None,), (x, torch.ones(2, 3)), (torch.ones(()),)],
    )
    options: dict[str, Any] = {"chunk_size": size(source, (2, 1, 3, 64))}
    if source.rarely():
        options["group"] = torch.arange(n)
    if source.rarely():
        options["scaler"] = source.choice([None, 3, torch.amp.GradScaler("cpu")])
    plain = isinstance(features, Pair) and isinstance(loss_fn, nn.Module) and isinstance(x, Tensor)
    fits = plain and x.dtype == torch.float32 and x.layout == torch.strided and not x.is_meta and x.shape[1:] == (3,)
    try:
        loss = attempt(cached_backward, features, loss_fn, inputs, names=_NAMES, **options)
    except Finding as finding:
        if isinstance(finding.__cause__, (RuntimeError, TypeError, AttributeError, NotImplementedError)) and not fits:
            return  # the encoder or the loss may raise its own error
        raise
    if fits and inputs is x and n >= 2 and "scaler" not in options and is_tame([x]):
        found = [parameter.grad for parameter in features.parameters()]
        features.zero_grad()
        names = {"group": options["group"]} if "group" in options else {}
        output = features(x)
        plain_loss = loss_fn(**output, **names) if isinstance(output, dict) else loss_fn(*output, **names)
        plain_loss.backward()
        if not torch.allclose(loss, plain_loss, atol=1e-3, rtol=1e-3):
            raise Finding("another value than that of the plain loss")
        for ours, parameter in zip(found, features.parameters(), strict=True):
            scale = max(1.0, float(parameter.grad.abs().max()))
            if not torch.allclose(ours, parameter.grad, atol=1e-3 * scale, rtol=1e-3):
                raise Finding("another gradient than that of the plain loss")


def _queue(source: Source) -> None:
    options: dict[str, Any] = {}
    if source.rarely():
        options["dtype"] = source.choice([torch.float64, torch.float16, torch.int64, torch.complex64, "float32"])
    queue = attempt(
        partial(FeatureQueue, option(source, [3], INTEGERS), size(source, (4, 1, 9)), **options), names=_QUEUE
    )
    pushed: list[Any] = []
    for _ in range(source.choice([2, 1, 3, 0])):
        shape = (source.choice([2, 5, 0, 1]), 3, *([2] if source.rarely() else []))
        pushed.append(tensor(source, shape, queue.rows.dtype))
        attempt(queue.push, pushed[-1], names=_QUEUE)
    rows = attempt(queue, beside=pushed)
    if len(rows) != len(queue) or rows.requires_grad:
        raise Finding("a queue of another length, or with a graph")


_QUEUE = ("dim", "size", "features", "dtype")
