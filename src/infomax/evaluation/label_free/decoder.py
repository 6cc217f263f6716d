"""A decoder from feature vectors to images: transposed convolutions that mirror the paper's encoders."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict

from torch import nn

from infomax._checks import check_positive, check_sizes

__all__ = ["Decoder"]


class Decoder(nn.Sequential):
    """A linear layer to a small map, then transposed convolutions that double its sides up to an image in [0, 1].

    Each transposed convolution is 4x4 with stride 2. The last is followed by a sigmoid, all other layers by batch norm
    and ReLU. The last hidden map has 64 channels, and each map before it has twice as many as the next. The hidden maps
    are 256x4x4, 128x8x8 and 64x16x16 for 32 pixels, and 512x4x4 to 64x32x32 for 64 pixels: those of `conv32` and
    `conv64` in reverse. The shorter side of the first map is 4 to 7 pixels, and both sides of the image must be a power
    of two times those of the first map: 28, 40, 48, 96, ...

    Args:
        features: width D of the feature vector.
        image_shape: (C, H, W) of the images.

    Shapes:
        (N, D) to (N, C, H, W), values between 0 and 1.

    Raises:
        ValueError: a size is below 1, or doubling cannot reach the sides of the image.

    Source:
        This library; Hjelm et al., ICLR 2019, train a decoder with the squared error.

    Example:
        >>> Decoder(64, (3, 32, 32))(torch.randn(2, 64)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, features: int, image_shape: tuple[int, int, int]) -> None:
        check_positive("features", features)
        sizes = check_sizes("image_shape", image_shape)
        if len(sizes) != 3:
            raise ValueError(f"image_shape must be (channels, height, width), got {sizes}")
        channels, height, width = sizes
        doublings = (min(height, width) // 4).bit_length() - 1
        if doublings < 1 or height % 2**doublings or width % 2**doublings:
            raise ValueError(
                f"image_shape must have sides of 4 to 7 pixels doubled at least once, for instance 28, 32 or 64, got "
                f"{height}x{width}; resize or crop the images"
            )
        maps = [64 * 2**number for number in reversed(range(doublings))]
        start = (maps[0], height // 2**doublings, width // 2**doublings)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["map"] = nn.Sequential(
            nn.Linear(features, math.prod(start), bias=False),
            nn.Unflatten(1, start),
            nn.BatchNorm2d(maps[0]),
            nn.ReLU(),
        )
        for number, (before, after) in enumerate(itertools.pairwise(maps), start=1):
            stages[f"deconv{number}"] = nn.Sequential(
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
        stages["image"] = nn.Sequential(nn.ConvTranspose2d(maps[-1], channels, 4, 2, 1), nn.Sigmoid())
        super().__init__(stages)
