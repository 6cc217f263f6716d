"""Augmentation of a batch: windows of the padded images, and changes of colour."""

import numpy as np
import pytest
import torch


class TestAugment:
    @pytest.fixture
    def pixels(self):
        return torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def test_shifts_and_flips_are_windows_of_the_padded_image(self, parts, pixels):
        torch.manual_seed(0)
        views = parts.augment.Augment(pixels, shift=2, flip=True)(torch.arange(6))
        assert views.is_contiguous(memory_format=torch.channels_last)
        padded = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        for view, image in zip(views, padded, strict=True):
            windows = [
                parts.augment.to_float(torch.from_numpy(np.ascontiguousarray(turned[y : y + 8, x : x + 8]))[None])[0]
                for turned in (image, image[:, ::-1])
                for y in range(5)
                for x in range(5)
            ]
            assert any(torch.equal(view, window) for window in windows)

    def test_grey_images_have_equal_channels(self, parts, pixels):
        views = parts.augment.Augment(pixels, grey=1.0)(torch.arange(6))
        torch.testing.assert_close(views[:, 0], views[:, 2], atol=1e-5, rtol=0)
        assert views.std() > 0.1

    def test_jitter_stays_in_range_and_changes_colours(self, parts, pixels):
        views = parts.augment.Augment(pixels, jitter=0.5)(torch.arange(6))
        assert views.abs().max() <= 1
        assert not torch.allclose(views, parts.augment.to_float(pixels), atol=0.05)
