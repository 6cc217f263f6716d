"""Checks of what users pass in: one place, one style of message.

Every message says which argument, what was expected, what came, and, where it is not obvious, what to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

from torch import Tensor

__all__ = [
    "check_choice",
    "check_floating",
    "check_integer",
    "check_number",
    "check_positive",
    "check_same_device",
    "shape_of",
]


def shape_of(shape: Tensor | Sequence[object]) -> str:
    """The shape of a tensor, or a shape, as Python writes a tuple, for messages."""
    sizes = shape.shape if isinstance(shape, Tensor) else shape
    return "(" + ", ".join(str(size) for size in sizes) + ("," if len(sizes) == 1 else "") + ")"


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


def check_integer(name: str, value: object, *, at_least: int | None = None) -> int:
    """Return ``value`` as an int if it is an integer, numpy's included, of at least ``at_least``, else raise."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if at_least is not None and value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def check_positive(name: str, value: object) -> int:
    """Return ``value`` as an int if it is an integer of at least one, else raise."""
    return check_integer(name, value, at_least=1)


def check_number(name: str, value: object, *, above: float | None = None, at_least: float | None = None) -> float:
    """Return ``value`` if it is a finite real number, numpy's included, within the bounds, else raise.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        above: the value must be larger than this.
        at_least: the value must not be smaller than this.

    Raises:
        TypeError: it is no real number.
        ValueError: it is NaN, infinite, too large for a float, or out of bounds.
    """
    if isinstance(value, Tensor):
        raise TypeError(f"{name} must be a number, got a torch.Tensor; pass tensor.item()")
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if above is not None and not number > above:
        rule = "positive" if above == 0 else f"above {above}"
        raise ValueError(f"{name} must be {rule}, got {value}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value) if isinstance(value, Integral) else number


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless ``value`` is one of the names in ``choices``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(sorted(choices))}, got {type(value).__name__}")
    if value not in choices:
        close = difflib.get_close_matches(value.lower(), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name} must be one of {', '.join(sorted(choices))}, got {value!r}{hint}")
