"""A queue holds the newest rows, in its state dict too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infomax import InfoMaxLoss
from infomax.training import FeatureQueue


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 9))
def test_it_holds_the_newest_rows(sizes: list[int], size: int) -> None:
    queue, everything = FeatureQueue(1, size), torch.zeros(0, 1)
    for count in sizes:
        rows = torch.arange(len(everything), len(everything) + count).float()[:, None]
        queue.push(rows)
        everything = torch.cat([everything, rows])
        assert len(queue) == min(size, len(everything))
        assert sorted(queue().flatten().tolist()) == everything[-size:].flatten().tolist()


def test_state_dict_locations_and_independence() -> None:
    queue = FeatureQueue(3, 10)
    maps = torch.randn(2, 3, 2, 2, requires_grad=True)
    queue.push(maps)
    assert torch.equal(queue(), maps.detach().flatten(2).transpose(1, 2).reshape(8, 3))
    assert not queue().requires_grad
    returned = queue()
    other = FeatureQueue(3, 10)
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.push(torch.ones(5, 3))
    assert torch.equal(queue(), other())
    assert not torch.equal(returned, queue()[:8]), "what was returned is a copy"


def test_rows_of_the_queue_are_negatives() -> None:
    queue, loss_fn = FeatureQueue(4, 6), InfoMaxLoss(4, 4, symmetric=False, in_batch=False)
    queue.push(torch.randn(6, 4))
    key, query = torch.randn(2, 4), torch.randn(2, 4)
    loss = loss_fn(key, query, negatives=queue())
    queue.push(torch.randn(1, 4))
    loss.backward()  # pushing has not changed the tensors that the loss saved
    assert loss_fn.scores(key, query, negatives=queue()).count().tolist() == [6, 6]


@pytest.mark.parametrize("axes", [2, 3])
def test_rows_of_another_dtype_under_autocast(axes: int) -> None:
    """Features of a layer are bfloat16, a queue holds float32, and the critic casts both."""
    kept = torch.randn(6, 4).bfloat16()
    negatives = kept if axes == 2 else kept.view(2, 3, 4)
    x, y = torch.randn(2, 4).bfloat16(), torch.randn(2, 4).bfloat16()
    loss_fn = InfoMaxLoss(4, 4, symmetric=False, in_batch=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss_fn(x, y, negatives=negatives.float()) == loss_fn(x, y, negatives=negatives)
        with pytest.raises(TypeError, match=r"negatives must have the dtype of x, torch.bfloat16, got torch.float64"):
            loss_fn(x, y, negatives=negatives.double())
    with pytest.raises(TypeError, match=r"negatives must have the dtype of x, torch.float32, got torch.bfloat16"):
        loss_fn(x.float(), y.float(), negatives=negatives)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        FeatureQueue(4, 0)
    with pytest.raises(ValueError, match=r"features must have shape \(n, 4\) .* got \(2, 3\)"):
        FeatureQueue(4, 5).push(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="features must have a real floating dtype"):
        FeatureQueue(4, 5).push(torch.zeros(2, 4).long())


def test_made_without_memory_it_is_empty_once_it_is_reset() -> None:
    queue = FeatureQueue(2, 4, device="meta").to_empty(device="cpu")
    queue.pushed.fill_(1_000)
    queue.reset_parameters()
    assert queue().shape == (0, 2)
