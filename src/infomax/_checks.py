"""Checks of what users pass in: one place, one style of message.

Every message says which argument, what was expected, what came, and, where it is not obvious, what to do.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from torch import Tensor

__all__ = [
    "check_choice",
    "check_clip",
    "check_floating",
    "check_number",
    "check_positive",
    "check_same_device",
    "shape_of",
]


def shape_of(tensor: Tensor) -> str:
    """The shape of a tensor as people write it, for messages."""
    return "(" + ", ".join(str(size) for size in tensor.shape) + ")"


def check_floating(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a real floating tensor, else raise ``TypeError``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must have a real floating dtype, got {value.dtype}; convert it with .float()")
    return value


def check_same_device(**tensors: Tensor | None) -> None:
    """Raise ``ValueError`` unless all tensors given lie on one device."""
    devices = {name: tensor.device for name, tensor in tensors.items() if tensor is not None}
    if len(set(devices.values())) > 1:
        listed = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"{' and '.join(devices)} must be on the same device, got {listed}")


def check_positive(name: str, value: object) -> int:
    """Return ``value`` if it is an integer of at least one, else raise."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def check_number(name: str, value: object) -> float:
    """Return ``value`` if it is a real number, else raise ``TypeError``."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return value


def check_clip(clip: object, name: str = "clip", *, soft: bool = False) -> float | None:
    """Return the bound of scores' magnitude if it is a positive number, finite if soft, or None, else raise."""
    if clip is None:
        return None
    number = check_number(name, clip)
    if not number > 0:
        raise ValueError(f"{name} must be positive or None, got {clip}")
    if soft and number == math.inf:
        raise ValueError(f"{name} must be finite for a soft clip, got {clip}; None leaves scores as they are")
    return number


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless ``value`` is one of the names in ``choices``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(sorted(choices))}, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(sorted(choices))}, got {value!r}")
