"""Encoding an image crop by crop, so that each location of the feature map sees only its own crop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infomax._checks import check_floating, check_positive, shape_of

__all__ = ["StridedCrops"]


class StridedCrops(nn.Module):
    r"""A feature map of overlapping crops, each encoded separately.

    .. math:: x_{ij} = E\big( \mathrm{image}[i s : i s + k, \; j s : j s + k] \big)

    In an ordinary convolutional encoder, a location sees most of the image, and the zero padding reveals its position.
    Here two locations share only the pixels that their crops share. The encoder runs once, on all crops as one batch,
    so its batch norms average over crops.

    Args:
        encoder: a module from crops (K, C, \*crop) to vectors, (K, c) or (K, c, 1, ...).
        crop_size: side k of a crop, pixels.
        stride: distance s between neighbouring crops, pixels; half a crop when None.

    Shapes:
        (N, C, \*spatial), any number of spatial axes, to (N, c, \*grid). The result is a view of the encoder's output,
        with channels last in memory.

    Raises:
        TypeError: the images are not floating point.
        ValueError: the images have no spatial axis, or the crops do not cover them up to the last pixel; the encoder
            does not return one vector per crop.

    Source:
        van den Oord et al. 2018 (CPC), section 3.3, for the crops; Hjelm et al. 2019, section 4.2, comparison with CPC.
        Memory holds a copy of all crops, and the activations of the encoder for N times the number of crops per image.

    Example:
        >>> crops = StridedCrops(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16)), crop_size=8)
        >>> tuple(crops(torch.rand(2, 3, 32, 32)).shape)
        (2, 16, 7, 7)
    """

    def __init__(self, encoder: nn.Module, crop_size: int, stride: int | None = None) -> None:
        super().__init__()
        if not isinstance(encoder, nn.Module):
            raise TypeError(f"encoder must be a torch.nn.Module, got {type(encoder).__name__}")
        self.encoder = encoder
        self.crop_size = check_positive("crop_size", crop_size)
        self.stride = max(1, self.crop_size // 2) if stride is None else check_positive("stride", stride)

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the number of crops along each axis of an image of this spatial size.

        Example:
            >>> StridedCrops(nn.Flatten(), crop_size=16).grid((64, 64))
            (7, 7)
        """
        for side in size:
            if side < self.crop_size or (side - self.crop_size) % self.stride:
                raise ValueError(
                    f"images must be covered by crops of {self.crop_size} pixels, {self.stride} apart: a side of "
                    f"{self.crop_size} plus a multiple of {self.stride}, got {side} of {tuple(size)}"
                )
        return tuple((side - self.crop_size) // self.stride + 1 for side in size)

    def forward(self, images: Tensor) -> Tensor:
        check_floating("images", images)
        if images.ndim < 3:
            raise ValueError(f"images must have shape (N, C, *spatial), got {shape_of(images)}")
        grid = self.grid(images.shape[2:])
        crops = images
        for axis in range(2, images.ndim):
            crops = crops.unfold(axis, self.crop_size, self.stride)
        # (N, C, *grid, *crop) to (N * P, C, *crop), in one copy and in the memory format of the images.
        if images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last):
            crops = crops.movedim(1, -1).flatten(0, len(grid)).movedim(-1, 1)
        else:
            crops = crops.movedim(1, 1 + len(grid)).flatten(0, len(grid))
        vectors: Tensor = self.encoder(crops)
        shape = vectors.shape if isinstance(vectors, Tensor) else torch.Size()
        if len(shape) < 2 or shape[0] != len(crops) or math.prod(shape[2:]) != 1:
            came = shape_of(vectors) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise ValueError(f"encoder must return one vector per crop, ({len(crops)}, c), got {came}")
        return vectors.reshape(len(images), *grid, vectors.shape[1]).movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"crop_size={self.crop_size}, stride={self.stride}"
