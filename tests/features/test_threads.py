"""A tap shared by threads, and its replicas by `nn.DataParallel`: each call gets its own features."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import parallel_apply

from infomax.features import Tap, tap, taps

CALLS, THREADS = 60, 3


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv1d(1, 4, 1), nn.Linear(4, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.body(values).mean(2))


class Broken(Net):
    """A net that torch.compile cannot trace as one graph."""

    def forward(self, values: Tensor) -> Tensor:
        local = self.body(values)
        torch._dynamo.graph_break()
        return self.head(local.mean(2))


def in_threads(features: Sequence[Any], encoder: Net) -> Counter[str]:
    """Run each module in its own thread; count the calls that equal the forward pass by hand, and other outcomes."""
    found: list[str] = []
    start = threading.Barrier(len(features))

    def work(module: Any, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        start.wait()
        for _ in range(CALLS):
            values = torch.rand(2, 1, 5, generator=draw)
            try:
                local, global_ = module(values)
                right = torch.allclose(local, encoder.body(values)) and torch.allclose(global_, encoder(values))
                found.append("right" if right else "wrong")
            except Exception as error:  # noqa: BLE001 (counted, whatever it is)
                found.append(str(error))

    threads = [threading.Thread(target=work, args=(module, seed)) for seed, module in enumerate(features)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(found)


ALL_RIGHT = Counter(right=CALLS * THREADS)


def test_threads_may_share_a_tap() -> None:
    encoder = Net()
    features = tap(encoder, "body")
    assert in_threads([features] * THREADS, encoder) == ALL_RIGHT


def test_threads_may_share_taps() -> None:
    encoder = Net()
    features = taps(encoder, {"local": "body", "global": ""})
    both = [lambda values: tuple(features(values).values())] * THREADS
    assert in_threads(both, encoder) == ALL_RIGHT


def replica(module: nn.Module) -> nn.Module:
    """Return a copy as nn.DataParallel makes it for each device: it shares hooks and plain attributes."""
    copied = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        copied._modules[name] = None if child is None else replica(child)
    for name, parameter in module._parameters.items():
        setattr(copied, name, parameter)
    return copied


def test_replicas_do_not_meet() -> None:
    encoder = Net()
    features = tap(encoder, "body")
    replicas = [replica(features) for _ in range(THREADS)]
    assert all(isinstance(one, Tap) and one.encoder is not encoder for one in replicas)
    assert in_threads(replicas, encoder) == ALL_RIGHT
    assert features._found.layout == "NCP"  # a replica found it, all share it


@pytest.mark.cuda
def test_data_parallel() -> None:
    encoder = Net().cuda()
    features = tap(encoder, "body")
    replicas = nn.parallel.replicate(features, [0, 0])
    values = [torch.rand(2, 1, 5, device="cuda") for _ in range(2)]
    for _ in range(CALLS):
        for given, (local, _) in zip(values, parallel_apply(replicas, [(v,) for v in values]), strict=True):
            torch.testing.assert_close(local, encoder.body(given))


@pytest.mark.parametrize("net", [Net, pytest.param(Broken, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_threads_may_share_a_compiled_tap(net: Any) -> None:
    torch.compiler.reset()
    encoder = net()
    compiled = torch.compile(tap(encoder, "body", local_layout="NCP"), backend="eager", fullgraph=net is Net)
    compiled(torch.rand(2, 1, 5))
    assert in_threads([compiled] * THREADS, encoder) == ALL_RIGHT


def test_a_tap_inside_a_tapped_encoder() -> None:
    """An encoder may call its own tap in its forward: the inner and the outer call have separate records."""

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tap(Net(), "body")
            self.last = nn.Conv1d(4, 2, 1)

        def forward(self, values: Tensor) -> Tensor:
            return self.last(self.inner(values).local).mean(2)

    outer, values = Outer(), torch.rand(2, 1, 5)
    local, _ = tap(outer, "inner[local]", local_layout="NCP")(values)
    torch.testing.assert_close(local, outer.inner.encoder.body(values))


def test_the_count_sees_mixed_features() -> None:
    encoder, other = Net(), Net()
    assert in_threads([tap(other, "body")] * THREADS, encoder) == Counter(wrong=CALLS * THREADS)
