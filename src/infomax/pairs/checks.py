"""What features and masks must be before they are paired, checked once at the public edge."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of

__all__ = ["check_features", "check_mask_dtype", "check_mask_shape", "check_present"]


def check_features(local: Tensor, global_: Tensor, mask: Tensor | None = None, *, at_least: int = 2) -> None:
    """Raise unless local (N, c, \\*spatial), global (N, d, \\*spatial) and mask fit together.

    Args:
        local: local features.
        global_: global features.
        mask: bool, (N, \\*spatial) of the local features.
        at_least: the smallest N.
    """
    check_floating("local", local)
    if isinstance(global_, Tensor) and global_.ndim == 1:
        raise ValueError(
            f"global_ must have shape (N, channels, *spatial), got {shape_of(global_)} of {global_.dtype}; are these "
            "labels? It takes the global features of an encoder"
        )
    check_floating("global_", global_)
    if mask is not None:
        check_mask_dtype(mask)
    check_same_device(local=local, global_=global_, mask=mask)
    for name, tensor in (("local", local), ("global_", global_)):
        if tensor.ndim < 2:
            raise ValueError(f"{name} must have shape (N, channels, *spatial), got {shape_of(tensor)}")
    if local.shape[0] != global_.shape[0]:
        raise ValueError(
            "local and global_ must hold the same examples, got batch sizes "
            f"{local.shape[0]} from {shape_of(local)} and {global_.shape[0]} from {shape_of(global_)}"
        )
    if local.shape[0] < at_least:
        raise ValueError(
            f"local must hold at least {at_least} examples, got {local.shape[0]} from {shape_of(local)}: an InfoMax "
            "objective needs other examples as negatives; a DataLoader leaves out a last batch of one with "
            "drop_last=True"
        )
    for name, tensor in (("local", local), ("global_", global_)):
        if 0 in tensor.shape[1:]:
            raise ValueError(f"{name} must have at least one channel and one location, got {shape_of(tensor)}")
    if mask is not None:
        check_mask_shape("local " + shape_of(local), mask, (local.shape[0], *local.shape[2:]))


def check_mask_dtype(mask: object) -> None:
    """Raise unless ``mask`` is a bool tensor."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a bool tensor, True at real locations, got {kind}")


def check_mask_shape(name: str, mask: Tensor, expected: tuple[int, ...]) -> None:
    """Raise unless ``mask`` has the expected shape."""
    if tuple(mask.shape) != expected:
        raise ValueError(f"mask must have the shape {shape_of(expected)} to fit {name}, got {shape_of(mask)}")


def check_present(present: int, mask: Tensor, *, at_least: int = 2) -> None:
    """Raise unless a mask leaves real locations in enough examples.

    Args:
        present: examples with a real location.
        mask: the mask, for the message.
        at_least: how many there must be.
    """
    if present < at_least:
        raise ValueError(
            f"mask must leave real locations in at least {at_least} examples, got {present} of {mask.shape[0]}: an "
            "InfoMax objective needs other examples as negatives"
        )
