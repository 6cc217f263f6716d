"""Tests of the baselines that the benchmarks compare the library with, and of the measurement of peak memory."""

from __future__ import annotations

import pytest
import torch

from benchmarks.baselines import bare_products
from benchmarks.harness import queue
from benchmarks.memory import peak_bytes


@pytest.mark.parametrize(
    ("scores", "gradients", "shapes"),
    [
        (1, 0, [(3, 5)]),
        (1, 1, [(3, 5), (5, 2)]),
        (1, 2, [(3, 5), (3, 2), (5, 2)]),
        (2, 2, [(3, 5), (3, 5), (3, 2), (5, 2)]),
    ],
)
def test_products_are_as_many_as_asked_for(scores: int, gradients: int, shapes: list[tuple[int, ...]]) -> None:
    """A request for one product computed two, neither of them the table of scores."""
    made = bare_products(torch.randn(3, 2), torch.randn(5, 2), scores, gradients)()
    assert [tuple(table.shape) for table in made] == shapes


def test_a_queue_keeps_nothing() -> None:
    calls: list[int] = []
    assert queue(lambda: calls.append(1), 3)() is None
    assert len(calls) == 3


def test_memory_of_an_earlier_measured_call_is_not_subtracted() -> None:
    kept: list[torch.Tensor] = []

    def leave() -> None:
        kept.append(torch.ones(2**20))

    def exchange() -> None:
        kept.clear()
        kept.append(torch.ones(2**20))

    assert peak_bytes(leave) == pytest.approx(2**22, rel=0.01)
    with pytest.raises(RuntimeError, match=r"freed 4\.0 MiB that an earlier measured call allocated"):
        peak_bytes(exchange)
