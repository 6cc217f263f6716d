"""Occlusion hides one whole block per image, at a random place inside the image, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from infomax import occlude


def check_one_block(hidden: Tensor, sides: tuple[int, ...]) -> None:
    """Check that ``hidden`` (N, *spatial) is one full block of ``sides`` in each image."""
    for image in hidden:
        places = image.nonzero()
        spans = tuple((places.amax(0) - places.amin(0) + 1).tolist())
        assert spans == sides, f"a block of {spans}, expected {sides}"
        assert len(places) == torch.tensor(sides).prod(), "the block has holes"


@pytest.mark.parametrize(
    ("spatial", "size", "sides"),
    [
        ((8, 8), 0.25, (2, 2)),
        ((8, 6), 0.5, (4, 3)),
        ((32, 32), 0.99, (31, 31)),  # part of the image always stays visible
        ((1, 2), 0.9, (1, 1)),
        ((4, 4), 0.01, (1, 1)),
        ((9,), 0.3, (3,)),
        ((4, 6, 8), 0.5, (2, 3, 4)),
    ],
)
def test_a_block_of_that_share_of_the_side(spatial: tuple[int, ...], size: float, sides: tuple[int, ...]) -> None:
    images = torch.rand(20, 3, *spatial) + 1
    result = occlude(images, size)
    hidden = result != images
    assert (hidden == hidden[:, :1]).all(), "a block hides every channel"
    check_one_block(hidden[:, 0], sides)
    assert not result[hidden].any()


def test_places_are_drawn_evenly_and_for_each_image() -> None:
    hidden = occlude(torch.ones(4000, 1, 4, 4), 0.5)[:, 0] == 0
    starts = hidden.flatten(1).float().argmax(1)
    share = torch.bincount(starts, minlength=16).view(4, 4).float() / 4000
    assert (share[:3, :3] - 1 / 9).abs().max() < 0.03
    assert not share[3].any()
    assert not share[:, 3].any()


def test_images_stay_as_they_are() -> None:
    images = torch.rand(4, 3, 8, 8)
    before = images.clone()
    occlude(images, 0.5)
    assert torch.equal(images, before)


def test_fill_dtype_and_memory_format() -> None:
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64).to(memory_format=torch.channels_last)
    result = occlude(images, 0.5, fill=-7.0)
    assert (result == -7).sum() == 4 * 3 * 16
    assert result.dtype == torch.float64
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_a_generator_makes_it_reproducible() -> None:
    images, state = torch.rand(8, 1, 16, 16), torch.get_rng_state()
    one, two, three = (occlude(images, 0.5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_hidden_gets_no_gradient() -> None:
    images = torch.rand(4, 1, 8, 8, requires_grad=True)
    result = occlude(images, 0.5)
    result.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad == 0, result == 0)


def test_the_check_refuses_two_blocks_and_holes() -> None:
    hidden = torch.zeros(1, 6, 6, dtype=torch.bool)
    hidden[0, :2, :2] = True
    check_one_block(hidden, (2, 2))
    hidden[0, 4, 4] = True
    with pytest.raises(AssertionError, match="a block of"):
        check_one_block(hidden, (2, 2))
    with pytest.raises(AssertionError, match="holes"):
        check_one_block(hidden, (5, 5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: occlude(torch.zeros(2, 3)), ValueError, r"images must have shape \(N, C, \*spatial\), got \(2, 3\)"),
        (
            lambda: occlude(torch.zeros(2, 3, 4, 4), 0.0),
            ValueError,
            "size must be a share of the image's side.*got 0.0",
        ),
        (lambda: occlude(torch.zeros(2, 3, 4, 4), 1), ValueError, "size must be a share.*below 1, got 1"),
        (lambda: occlude(torch.zeros(2, 3, 0, 4)), ValueError, r"at least one pixel .*got \(2, 3, 0, 4\)"),
        (lambda: occlude(torch.zeros(2, 3, 4, 4), fill="grey"), TypeError, "fill must be a number, got str"),
        (lambda: occlude(torch.zeros(2, 3, 4, 4), "half"), TypeError, "size must be a number, got str"),
        (lambda: occlude(torch.zeros(2, 3, 4, 4).byte()), TypeError, "images must have a real floating dtype"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
