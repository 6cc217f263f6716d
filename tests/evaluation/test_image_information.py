"""MINE between images and features finds a known information, measured on images that it was not trained on."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from infomax.evaluation import ImageCritic, image_information

LEVELS = 4
TRUTH = math.log(LEVELS)
measure = partial(image_information, units=16, epochs=8, batch_size=64)


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def images_of(rows: int, start: int) -> tuple[Tensor, Tensor]:
    """Return noisy images at one of four equally likely levels, and the level as feature: log 4 nats."""
    levels = torch.randint(LEVELS, (rows,), generator=seed(start)).float()
    noise = 0.1 * torch.randn(rows, 1, 8, 8, generator=seed(start + 1))
    return noise + levels.view(-1, 1, 1, 1), torch.stack([levels, levels.square()], 1)


TRAIN, TEST = images_of(1200, 0), images_of(800, 10)


def test_known_information() -> None:
    found = measure(*TRAIN, *TEST, random_state=0)
    assert TRUTH - 0.15 < found.nats < TRUTH + 0.05
    assert found.limit == math.log(800)


def test_features_of_other_images_hold_nothing() -> None:
    images, features = TEST
    assert measure(*TRAIN, images, features.flip(0), random_state=0).nats < 0.05  # the test pairs are measured
    shuffled = TRAIN[1][torch.randperm(1200, generator=seed())]
    found = measure(TRAIN[0], shuffled, *TEST, random_state=0, epochs=4)
    assert abs(found.nats) < 0.1  # the training pairs train the critic


def test_bytes_with_a_transform_and_the_same_seed_give_the_same() -> None:
    small = partial(measure, epochs=1, random_state=3)
    train, test = ((images.clamp(0, 1) * 255).byte() for images in (TRAIN[0][:200], TEST[0][:100]))
    features = TRAIN[1][:200], TEST[1][:100]
    read = image_information.__globals__["torch"].Tensor.float
    before = torch.get_rng_state()
    first = measure(train, features[0], test, features[1], epochs=1, random_state=3, transform=read)
    assert torch.equal(torch.get_rng_state(), before)
    assert small(train.float(), features[0], test.float(), features[1]) == first


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 28, 28), (1, 33, 20), (3, 64, 64)])
def test_the_critic_takes_images_of_any_size_and_knows_nothing_at_first(shape: tuple[int, int, int]) -> None:
    features = torch.randn(6, 5)
    joint, marginal = ImageCritic(shape, features, units=4)(torch.randn(6, *shape), features).reduce("sum")
    assert torch.equal(joint, torch.zeros(6))
    assert torch.equal(marginal, torch.zeros(6))


class TestBadInput:
    def test_uint8_without_a_transform(self) -> None:
        with pytest.raises(TypeError, match=r"train_images are torch\.uint8; pass the scaling as transform"):
            image_information(TRAIN[0].byte(), TRAIN[1], *TEST)

    def test_numbers_that_differ(self) -> None:
        with pytest.raises(ValueError, match="test_images must hold one image per row of features"):
            image_information(*TRAIN, TEST[0][:5], TEST[1])

    def test_no_images(self) -> None:
        with pytest.raises(ValueError, match=r"train_images must have shape \(N, C, H, W\)"):
            image_information(TRAIN[0].flatten(1), TRAIN[1], *TEST)


def test_autocast_around_it_has_no_effect() -> None:
    part = TRAIN[0][:200], TRAIN[1][:200], TEST[0][:100], TEST[1][:100]
    expected = measure(*part, epochs=1, random_state=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure(*part, epochs=1, random_state=0) == expected


@pytest.mark.parametrize("which", [0, 2])
def test_images_that_are_not_finite_are_refused_by_name(which: int) -> None:
    part = [TRAIN[0][:200].clone(), TRAIN[1][:200], TEST[0][:100].clone(), TEST[1][:100]]
    part[which][:] = torch.nan
    with pytest.raises(ValueError, match=f"{'train' if which == 0 else 'test'}_images must be finite"):
        measure(*part, epochs=1)


def test_test_images_of_another_size_are_refused_before_the_training() -> None:
    with pytest.raises(ValueError, match=r"test_images must have the shape of train_.*got \(1, 9, 9\)"):
        measure(TRAIN[0][:200], TRAIN[1][:200], torch.rand(100, 1, 9, 9), TEST[1][:100])


def test_the_seed_decides_of_a_transform_that_draws() -> None:
    part = TRAIN[0][:200], TRAIN[1][:200], TEST[0][:100], TEST[1][:100]
    noisy = partial(measure, *part, epochs=1, random_state=0, transform=lambda images: images + torch.rand(()))
    before = torch.get_rng_state()
    assert noisy() == noisy()
    assert torch.equal(torch.get_rng_state(), before)
