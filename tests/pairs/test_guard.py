"""A guarded part of a graph has the same values, gradients and second derivatives as without the guard.

Only errors wait.
"""

from __future__ import annotations

import weakref

import pytest
import torch
from pairs.gather_faults import FaultyBackward
from torch import Tensor

from infomax.pairs.guard import Guard


def leaves() -> tuple[Tensor, Tensor]:
    x, y = torch.arange(1.0, 4.0, dtype=torch.float64), torch.tensor([0.3, -0.2, 2.0], dtype=torch.float64)
    return x.requires_grad_(), y.requires_grad_()


def test_gradients_of_any_order_and_a_graph_that_is_kept() -> None:
    (x, y), constant = leaves(), torch.ones(3, dtype=torch.float64)
    inner = 2 * x  # not a leaf: the backward pass of the part ends here
    value, _ = Guard().run(lambda: ((inner.pow(3) * y.exp() * constant).sum(), constant), [inner, y, constant])
    plain = ((2 * x).pow(3) * y.exp()).sum()
    assert torch.equal(value, plain)
    for found, expected in zip(
        torch.autograd.grad(value, (x, y), create_graph=True),
        torch.autograd.grad(plain, (x, y), create_graph=True),
        strict=True,
    ):
        assert torch.equal(found, expected)
        for second, truth in zip(
            torch.autograd.grad(found.square().sum(), (x, y), retain_graph=True),
            torch.autograd.grad(expected.square().sum(), (x, y), retain_graph=True),
            strict=True,
        ):
            assert torch.allclose(second, truth, rtol=1e-14)
    value.backward(retain_graph=True)
    value.backward()
    assert torch.equal(y.grad, 2 * torch.autograd.grad(plain, y)[0])
    with pytest.raises(RuntimeError, match="a second time"):
        value.backward()


def test_the_part_is_freed_with_the_graph_around() -> None:
    x, _ = leaves()
    held: list[weakref.ref[Tensor]] = []

    def compute() -> tuple[Tensor]:
        factor = torch.ones(3, dtype=torch.float64)  # saved for the backward pass of the product
        held.append(weakref.ref(factor))
        return ((x * factor).sum(),)

    (value,) = Guard().run(compute, [x])
    assert held[0]() is not None
    value.backward()
    assert held[0]() is None, "though the loss is still there"


def test_an_error_waits_for_the_exchange() -> None:
    x, y = leaves()
    guard = Guard()
    (value,) = guard.run(lambda: (FaultyBackward.apply(x * y).sum(),), [x, y])
    value.backward()
    assert not x.grad.any()
    assert not y.grad.any()
    with pytest.raises(RuntimeError, match="out of memory, say"):
        guard.tell([1], 1)
    guard.tell([], 1)  # the error is raised only once
    with pytest.raises(RuntimeError, match="the backward pass of rank 0, 2 raised an error"):
        guard.tell([0, 2], 1)


def test_an_error_that_nobody_can_be_told_is_raised_at_once() -> None:
    x, y = leaves()
    (value,) = Guard(holds=False).run(lambda: (FaultyBackward.apply(x * y).sum(),), [x, y])
    with pytest.raises(RuntimeError, match="out of memory, say"):
        value.backward()
