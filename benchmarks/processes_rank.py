"""One process of the benchmark ``processes``, which runs this file as a script."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.memory import peak_bytes
from infomax import LocalDIMLoss
from infomax.ops import use_workspace

__all__ = ["LARGE", "SMALL", "one_process"]

LARGE = {"examples": 64, "locations": 64, "units": 256}
SMALL = {"examples": 4, "locations": 4, "units": 8}
_CHANNELS = 32
_WORKSPACE = 2**22  # small, so that the gathered rows show in the peak beside the scores


class Counter:
    """The number of calls to `torch.distributed`, and the bytes that this process sends in them."""

    def __init__(self) -> None:
        self.sent, self.calls = 0.0, 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the calls and bytes inside this context."""
        world = dist.get_world_size()
        originals = {name: getattr(dist, name) for name in ("all_gather", "all_reduce", "batch_isend_irecv")}

        def counted(name: str, size: Callable[..., float]) -> Callable[..., Any]:
            def call(*given: Any, **options: Any) -> Any:
                self.sent += size(*given)
                self.calls += 1
                return originals[name](*given, **options)

            return call

        dist.all_gather = counted("all_gather", lambda _, tensor: (world - 1) * tensor.nbytes)
        dist.all_reduce = counted("all_reduce", lambda tensor: 2 * (world - 1) / world * tensor.nbytes)
        dist.batch_isend_irecv = counted(
            "batch_isend_irecv", lambda moves: sum(move.tensor.nbytes for move in moves if move.op is dist.isend)
        )
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(dist, name, original)


def _features(world: int, size: dict[str, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    n = world * size["examples"]
    global_ = torch.randn(n, _CHANNELS, generator=generator)
    local = global_[:, :, None] + 3 * torch.randn(n, _CHANNELS, size["locations"], generator=generator)
    return local, global_


def _loss(size: dict[str, int], gather: bool | str) -> LocalDIMLoss:
    torch.manual_seed(0)
    return LocalDIMLoss(_CHANNELS, _CHANNELS, units=size["units"], gather=gather)  # type: ignore[arg-type]


def _step(loss: LocalDIMLoss, local: Tensor, global_: Tensor) -> dict[str, Any]:
    leaves = local.clone().requires_grad_(), global_.clone().requires_grad_()
    loss.zero_grad()
    value = loss(*leaves)
    value.backward()
    gradients = [parameter.grad for parameter in loss.parameters()]
    return {"loss": float(value.detach()), "local": leaves[0].grad, "gradients": gradients}


def one_process(world: int, size: dict[str, int]) -> dict[str, Any]:
    """Run a step on the whole batch in one process; return loss, gradients and peak memory."""
    loss, features = _loss(size, False), _features(world, size)
    with use_workspace(_WORKSPACE):
        peak = peak_bytes(lambda: _step(loss, *features))
        return _step(_loss(size, False), *features) | {"peak": peak}


def main() -> None:
    """Measure every setting of ``gather``, and save the results."""
    init, rank, world, interface, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    size = dict(zip(LARGE, map(int, sys.argv[6:]), strict=True))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world, timeout=timedelta(minutes=10))
    share = slice(rank * size["examples"], (rank + 1) * size["examples"])
    local, global_ = (features[share] for features in _features(world, size))
    wire = Path(f"/sys/class/net/{interface}/statistics/tx_bytes")
    results: dict[Any, dict[str, Any]] = {}
    forms: tuple[bool | str, ...] = (True, "ring") if world > 1 else (True,)
    with use_workspace(_WORKSPACE):
        for gather in forms:
            found = results[gather] = _step(_loss(size, gather), local, global_)
            loss, counter = _loss(size, gather), Counter()
            with counter.counting():
                value = loss(local.clone().requires_grad_(), global_)
                found["forward"] = counter.calls
                value.backward()
            found["backward"], found["sent"] = counter.calls - found["forward"], counter.sent
            dist.barrier()
            before = int(wire.read_text()) if wire.exists() else None
            _step(loss, local, global_)
            dist.barrier()
            found["wire"] = None if before is None else int(wire.read_text()) - before
            found["peak"] = peak_bytes(lambda loss=loss: _step(loss, local, global_))
        seconds: dict[Any, list[float]] = {gather: [] for gather in forms}
        for _ in range(5):
            for gather in forms:
                dist.barrier()
                start = time.perf_counter()
                _step(_loss(size, gather), local, global_)
                seconds[gather].append(time.perf_counter() - start)
        for gather in forms:
            results[gather]["seconds"] = statistics.median(seconds[gather])
    torch.save(results, out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
