"""Occlusion: hiding a random block of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_generator, check_number, shape_of
from infomax._random import drawing_from

__all__ = ["occlude"]


def occlude(
    images: Tensor, size: float = 0.5, *, fill: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    r"""Hide a block of each image, at a random position drawn for each image.

    In Deep InfoMax with occlusion, the global feature is computed from the occluded image and the local features from
    the whole image, so the global feature must predict the hidden part. Any encoder can be used; it runs twice.

    Args:
        images: (N, C, \*spatial), any number of spatial axes.
        size: side of the block as a share of the image's side, the same on every axis, above 0 and below 1; rounded to
            at least one pixel and, where the image has several, to less than the whole side.
        fill: value that fills the block.
        generator: the generator of the positions; torch's global one when None.

    Returns:
        A new tensor, of the shape, dtype and memory format of the images.

    Raises:
        TypeError: the images are not real floating, or ``size`` or ``fill`` is not a number.
        ValueError: there is no spatial axis, a spatial axis is empty, ``size`` is not between 0 and 1, or ``fill`` is
            not finite or does not fit into the dtype of the images.

    Source:
        Hjelm et al. 2019, section 4.3, which does not specify the size of the block.

    Example:
        >>> from infomax import LocalDIMLoss, encoders, occlude
        >>> encoder, images = encoders.conv32(), torch.rand(4, 3, 32, 32)
        >>> loss_fn = LocalDIMLoss(encoder.local_dim, encoder.global_dim, units=256)
        >>> local, _ = encoder(images)
        >>> _, global_ = encoder(occlude(images, 0.5))
        >>> loss_fn(local, global_).backward()
    """
    check_floating("images", images)
    if images.ndim < 3:
        raise ValueError(f"images must have shape (N, C, *spatial), got {shape_of(images)}")
    if 0 in images.shape[2:]:
        raise ValueError(f"images must have at least one pixel along each spatial axis, got {shape_of(images)}")
    check_generator(generator)
    fill = check_number("fill", fill)
    if abs(fill) > torch.finfo(images.dtype).max:
        raise ValueError(f"fill must fit into the dtype of the images, {images.dtype}, got {fill}")
    size = check_number("size", size)
    if not 0 < size < 1:
        raise ValueError(f"size must be a share of the image's side, above 0 and below 1, got {size}")
    n, axes = images.shape[0], images.shape[2:]
    hidden = torch.ones((), dtype=torch.bool, device=images.device)
    for number, length in enumerate(axes):
        block = max(1, min(round(size * length), length - 1))  # never the whole side, except where it is one pixel
        start = torch.randint(length - block + 1, (n, 1), device=images.device, **drawing_from(generator))
        place = torch.arange(length, device=images.device) - start
        along = [1] * len(axes)
        along[number] = length
        hidden = hidden & ((place >= 0) & (place < block)).view(n, 1, *along)
    return torch.where(hidden, fill, images)  # masked_fill would lose the memory format
