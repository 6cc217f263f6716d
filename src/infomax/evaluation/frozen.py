"""Checked frozen features, and the images they were computed from, as the measures without labels need them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of

__all__ = ["check_frozen", "check_images"]


def check_frozen(train_features: Tensor, test_features: Tensor, *, at_least: int) -> None:
    """Raise unless both are finite features (N, D) of one width and device, with so many rows at least.

    Raises:
        TypeError: features that are not floating point.
        ValueError: other shapes, too few rows, values that are not finite.
    """
    for name, features in (("train_features", train_features), ("test_features", test_features)):
        check_floating(name, features)
        if features.ndim != 2 or features.shape[1] == 0:
            raise ValueError(f"{name} must have shape (N, D), got {shape_of(features)}")
        if len(features) < at_least:
            raise ValueError(f"{name} must hold at least {at_least} examples, got {len(features)}")
        if not bool(torch.isfinite(features.sum(1)).all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity; did the training diverge?")
    check_same_device(train_features=train_features, test_features=test_features)
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            "train_features and test_features must have the same width, got "
            f"{shape_of(train_features)} and {shape_of(test_features)}"
        )


def check_images(name: str, images: Tensor, features: Tensor, transform: Callable[[Tensor], Tensor] | None) -> None:
    """Raise unless there is one image a row of features, and it is known how to read it.

    Raises:
        TypeError: not a tensor, or uint8 images without a ``transform``.
        ValueError: another number of images than of rows.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor of images, got {type(images).__name__}")
    if images.dtype == torch.uint8 and transform is None:
        raise TypeError(
            f"{name} are torch.uint8; pass the scaling as transform, for instance "
            "transform=lambda images: images.float() / 255"
        )
    if transform is None:
        check_floating(name, images)
    if len(images) != len(features):
        raise ValueError(
            f"{name} must hold one image a row of features, got {shape_of(images)} for {len(features)} rows"
        )
