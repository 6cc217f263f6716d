"""Crops of images: each is encoded alone, and its features are at the location of the crop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.limits import check_crops_are_alone
from tolerances import assert_close
from torch import Tensor, nn

from infomax.encoders import StridedCrops


def some_crops(stride: int | None = None) -> StridedCrops:
    torch.manual_seed(0)
    return StridedCrops(nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 4, 3), nn.Tanh()), 4, stride).double()


@pytest.mark.parametrize("stride", [None, 1, 4])
def test_every_location_is_its_crop_encoded(stride: int | None) -> None:
    crops, images = some_crops(stride), randn(3, 2, 12, 8)
    local = crops(images)
    step = 2 if stride is None else stride
    assert tuple(local.shape[2:]) == crops.grid((12, 8)) == ((12 - 4) // step + 1, (8 - 4) // step + 1)
    for i in range(local.shape[2]):
        for j in range(local.shape[3]):
            crop = images[:, :, i * step : i * step + 4, j * step : j * step + 4]
            assert_close(local[:, :, i, j], crops.encoder(crop), 1e-12, f"location {i, j}")


def test_any_number_of_spatial_axes() -> None:
    sequence = randn(2, 2, 10)
    encoder = nn.Flatten()
    local = StridedCrops(encoder, 4)(sequence)
    assert_close(local[:, :, 3], sequence[:, :, 6:10].flatten(1), 0.0)
    volume = randn(2, 1, 4, 6, 8)
    local = StridedCrops(encoder, 4)(volume)
    assert tuple(local.shape) == (2, 64, 1, 2, 3)
    assert_close(local[:, :, 0, 1, 2], volume[:, :, 0:4, 2:6, 4:8].flatten(1), 0.0)


def test_a_pixel_reaches_only_the_crops_that_hold_it() -> None:
    images = randn(1, 2, 12, 12)
    check_crops_are_alone(some_crops(), images, 4, 2, [(0, 0), (5, 7), (11, 0), (6, 6)])


def test_the_check_refuses_a_convolution_that_sees_more() -> None:
    torch.manual_seed(0)
    images = randn(1, 2, 12, 12)
    alone = nn.Conv2d(2, 3, 4, 2).double()
    check_crops_are_alone(alone, images, 4, 2, [(5, 7)])
    for wider in (nn.Conv2d(2, 3, 6, 2, 1).double(), nn.Sequential(alone, nn.Conv2d(3, 3, 3, 1, 1).double())):
        with pytest.raises(AssertionError):
            check_crops_are_alone(wider, images, 4, 2, [(5, 7)])


def test_crops_come_in_one_batch_and_in_the_memory_format_of_the_images() -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, crops: Tensor) -> Tensor:
            seen.append(crops)
            return crops.mean((2, 3))

    images = torch.rand(3, 2, 12, 8)
    plain = StridedCrops(Spy(), 4)(images)
    last = StridedCrops(Spy(), 4)(images.to(memory_format=torch.channels_last))
    assert [tuple(crops.shape) for crops in seen] == [(3 * 5 * 3, 2, 4, 4)] * 2
    assert seen[0].is_contiguous()
    assert seen[1].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain)
    assert plain.is_contiguous(memory_format=torch.channels_last)


def test_gradients_in_double_precision() -> None:
    crops = some_crops()
    assert torch.autograd.gradcheck(crops, randn(1, 2, 4, 6).requires_grad_())


def test_it_compiles_to_one_graph() -> None:
    torch.compiler.reset()
    crops, images = some_crops(), randn(2, 2, 8, 8)
    compiled = torch.compile(crops, fullgraph=True, backend="eager")
    assert_close(compiled(images), crops(images), 1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: StridedCrops(nn.Flatten(), 0), ValueError, "crop_size must be at least 1, got 0"),
        (lambda: StridedCrops(nn.Flatten(), 4, 0), ValueError, "stride must be at least 1, got 0"),
        (lambda: some_crops()(torch.zeros(2, 2, 8, 9)), ValueError, r"crops of 4 pixels, 2 apart.*got 9 of \(8, 9\)"),
        (lambda: some_crops()(torch.zeros(2, 2, 2, 8)), ValueError, r"images must be covered.*got 2 of \(2, 8\)"),
        (lambda: some_crops()(torch.zeros(2, 2)), ValueError, r"images must have shape \(N, C, \*spatial\)"),
        (lambda: some_crops()(torch.zeros(2, 2, 8, 8).byte()), TypeError, "images must have a real floating dtype"),
        (
            lambda: StridedCrops(nn.Conv2d(1, 5, 3), 4)(torch.zeros(1, 1, 4, 6)),
            ValueError,
            r"encoder must return one vector per crop, \(2, c\), got \(2, 5, 2, 2\)",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_half_as_many_vectors_of_twice_the_numbers_are_refused() -> None:
    class Halved(nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return crops.flatten(1)[:, :12].reshape(len(crops) // 2, 12, 2)

    with pytest.raises(ValueError, match="encoder must return one vector per crop"):
        StridedCrops(Halved(), crop_size=4)(torch.rand(2, 3, 8, 8))
