"""`reconstruction`: a decoder restores images from features that determine them, and not from others."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from infomax.evaluation import Decoder, ms_ssim, reconstruction


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def blots(rows: int, start: int) -> Tensor:
    """Return smooth grey images of 24 x 24 pixels, each determined by nine numbers."""
    coarse = torch.rand(rows, 1, 3, 3, generator=seed(start))
    return interpolate(coarse, size=24, mode="bilinear", align_corners=False)


def describe(images: Tensor) -> Tensor:
    return avg_pool2d(images, 8).flatten(1)


TRAIN, TEST = blots(256, 0), blots(64, 1)
small = partial(reconstruction, epochs=12, batch_size=32)


@pytest.fixture(scope="module")
def told():
    return small(TRAIN, describe(TRAIN), TEST, describe(TEST), keep=10, random_state=0)


def test_features_that_hold_the_image_give_it_back(told) -> None:
    untold = small(TRAIN, torch.randn(256, 9, generator=seed(2)), TEST, torch.randn(64, 9), random_state=0, epochs=4)
    mean_image = TRAIN.mean(0, keepdim=True).expand_as(TEST)
    assert told.mse < 0.25 * (mean_image - TEST).square().mean()
    assert untold.mse > 0.9 * (mean_image - TEST).square().mean()
    assert told.ms_ssim > untold.ms_ssim + 0.2
    assert told.scales == 2


def test_numbers_and_pictures_are_those_of_the_decoder(told) -> None:
    with torch.no_grad():
        made = told.decoder(describe(TEST))
    torch.testing.assert_close(told.images, made[:10])
    assert told.mse == pytest.approx((made - TEST).square().mean().item(), rel=1e-5)
    assert told.ms_ssim == pytest.approx(ms_ssim(made, TEST).mean().item(), rel=1e-5)


def test_the_decoder_does_not_depend_on_the_test_images(told) -> None:
    other = small(TRAIN, describe(TRAIN), 1 - TEST, describe(TEST), keep=10, random_state=0)
    assert torch.equal(other.images, told.images)
    assert other.ms_ssim < told.ms_ssim


def test_the_range_of_the_images_does_not_matter_if_it_is_said() -> None:
    ours = small(TRAIN, describe(TRAIN), TEST, describe(TEST), random_state=0, epochs=1)
    signed = partial(small, value_range=(-1.0, 1.0), transform=lambda pixels: pixels * 2 - 1)
    theirs = signed(TRAIN, describe(TRAIN), TEST, describe(TEST), random_state=0, epochs=1)
    assert theirs.ms_ssim == pytest.approx(ours.ms_ssim, abs=1e-4)
    with pytest.raises(ValueError, match=r"must lie in value_range \(0.0, 1.0\), got values from -0.8"):
        small(2 * TRAIN - 1, describe(TRAIN), 2 * TEST - 1, describe(TEST))


class TestMSSSIM:
    @pytest.mark.parametrize("side", [11, 21, 22, 28, 32, 43, 44, 64, 98, 99, 175, 176])
    def test_equal_images_are_alike_at_every_size(self, side: int) -> None:
        images = torch.rand(2, 1, side, side)
        torch.testing.assert_close(ms_ssim(images, images), torch.ones(2))
        assert bool((ms_ssim(images, torch.rand(2, 1, side, side)) < 0.6).all())

    def test_noise_takes_away_and_one_image_is_judged_by_itself(self) -> None:
        noise = torch.randn(TEST.shape, generator=seed(3))
        levels = [ms_ssim((TEST + level * noise).clamp(0, 1), TEST) for level in (0.02, 0.1, 0.3)]
        assert bool((levels[0] > levels[1]).all())
        assert bool((levels[1] > levels[2]).all())
        torch.testing.assert_close(ms_ssim(TEST[5:6], TEST[6:7])[0], ms_ssim(TEST[:-1], TEST[1:])[5])

    def test_the_first_scale_is_plain_ssim(self) -> None:
        """For constant images, contrast and structure are equal, so only the luminance of the single scale remains."""
        one, other = torch.full((1, 1, 11, 11), 0.2), torch.full((1, 1, 11, 11), 0.6)
        luminance = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
        assert ms_ssim(one, other).item() == pytest.approx(luminance, abs=1e-4)

    def test_weights_of_two_scales_are_of_sum_one(self) -> None:
        one, other = torch.full((1, 1, 32, 32), 0.2), torch.full((1, 1, 32, 32), 0.6)
        luminance = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
        weight = 0.2856 / (0.0448 + 0.2856)  # luminance counts at the coarsest scale only
        assert ms_ssim(one, other).item() == pytest.approx(luminance**weight, abs=1e-4)

    def test_what_it_refuses(self) -> None:
        with pytest.raises(ValueError, match="sides of at least 11 pixels, the window of MS-SSIM, got 10x32"):
            ms_ssim(torch.rand(2, 1, 10, 32), torch.rand(2, 1, 10, 32))
        with pytest.raises(ValueError, match="must have the same shape"):
            ms_ssim(torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32))
        with pytest.raises(TypeError, match="images must have a real floating dtype"):
            ms_ssim(torch.zeros(2, 1, 32, 32, dtype=torch.uint8), torch.rand(2, 1, 32, 32))


class TestDecoder:
    @pytest.mark.parametrize("shape", [(3, 32, 32), (3, 64, 64), (1, 28, 28), (2, 8, 12), (1, 40, 48)])
    def test_sizes(self, shape: tuple[int, int, int]) -> None:
        images = Decoder(5, shape)(torch.randn(2, 5))
        assert images.shape == (2, *shape)
        assert images.min() > 0
        assert images.max() < 1

    @pytest.mark.parametrize("shape", [(3, 30, 30), (3, 64, 50), (1, 7, 7)])
    def test_sizes_that_doubling_cannot_reach(self, shape: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="sides of 4 to 7 pixels doubled at least once"):
            Decoder(5, shape)


class TestBadInput:
    def test_without_torchmetrics(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torchmetrics", None)
        with pytest.raises(ImportError, match=r"reconstruction needs torchmetrics, .*'infomax\[evaluation\]'"):
            reconstruction(TRAIN, describe(TRAIN), TEST, describe(TEST))

    def test_images(self) -> None:
        with pytest.raises(ValueError, match="train_images must hold one image per row of features"):
            reconstruction(TRAIN[:3], describe(TRAIN), TEST, describe(TEST))
        with pytest.raises(ValueError, match="at least 11 pixels"):
            reconstruction(TRAIN[..., :8, :8], describe(TRAIN), TEST[..., :8, :8], describe(TEST))
        with pytest.raises(ValueError, match=r"value_range must be \(least, greatest\)"):
            reconstruction(TRAIN, describe(TRAIN), TEST, describe(TEST), value_range=(1.0, 0.0))


def test_a_decoder_needs_channels_and_two_sides() -> None:
    with pytest.raises(ValueError, match=r"image_shape must be \(channels, height, width\), got \(32, 32\)"):
        Decoder(4, (32, 32))  # type: ignore[arg-type]


@pytest.mark.parametrize("value_range", [1.0, (0.0,), (0.0, 1.0, 2.0)])
def test_a_range_has_two_ends(value_range: object) -> None:
    images = torch.rand(4, 1, 32, 32)
    with pytest.raises(ValueError, match=r"value_range must be \(least, greatest\), got"):
        reconstruction(images, torch.rand(4, 2), images, torch.rand(4, 2), value_range=value_range)  # type: ignore[arg-type]


def test_shapes_are_compared_before_the_training() -> None:
    with pytest.raises(ValueError, match=r"test_images must have the shape of train_images, .* got \(1, 20, 20\)"):
        small(TRAIN, describe(TRAIN), torch.rand(4, 1, 20, 20), describe(TRAIN[:4]))
    with pytest.raises(ValueError, match=r"decoder must return images of shape \(N, .*got \(2, 3, 16, 16\)"):
        small(TRAIN, describe(TRAIN), TEST, describe(TEST), decoder=Decoder(9, (3, 16, 16)))
