"""Checks of what users pass in: one place, one style of message.

Every message says which argument, what was expected, what came, and, where it is not obvious, what to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "check_choice",
    "check_dense",
    "check_differentiable",
    "check_flag",
    "check_floating",
    "check_generator",
    "check_holds_values",
    "check_integer",
    "check_integers",
    "check_number",
    "check_positive",
    "check_same_device",
    "check_sizes",
    "shape_of",
]

_SMALLEST = 2.0**-126  # a positive float32 with all its digits

LARGEST = 2**31 - 1
"""Of an integer option: no size, count or number of steps comes near, and products of two stay within 64 bits."""


def shape_of(shape: Tensor | Sequence[object]) -> str:
    """The shape of a tensor, or a shape, as Python writes a tuple, for messages."""
    sizes = shape.shape if isinstance(shape, Tensor) else shape
    return "(" + ", ".join(str(size) for size in sizes) + ("," if len(sizes) == 1 else "") + ")"


def check_floating(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a dense tensor of real floats of 16 bits or more, else raise ``TypeError``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must have a real floating dtype, got {value.dtype}; convert it with .float()")
    if value.dtype.itemsize < 2:  # float8: a format of storage, which torch computes hardly anything in
        raise TypeError(
            f"{name} must have a floating dtype of at least 16 bits, got {value.dtype}; convert it with .bfloat16()"
        )
    check_dense(name, value)
    return value


def check_dense(name: str, value: Tensor, kind: str = "a dense tensor") -> None:
    """Raise ``TypeError`` if a tensor is sparse, nested or of another layout that torch computes little in."""
    if value.is_nested:
        raise TypeError(
            f"{name} must be {kind}, got a nested tensor; convert it with .to_padded_tensor(0.0), with a mask"
        )
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be {kind}, got layout {value.layout}; convert it with .to_dense()")


def check_differentiable(tensors: Mapping[str, Tensor], *, learns: bool = False) -> None:
    """Raise ``ValueError`` if a tensor of inference mode comes where gradients are recorded: autograd cannot keep it.

    Args:
        tensors: by the name of the argument.
        learns: whether what the tensors go into has parameters that learn.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    if not learns and not any(tensor.requires_grad for tensor in tensors.values()):
        return
    for name, tensor in tensors.items():
        if tensor.is_inference():
            raise ValueError(
                f"{name} must not come from torch.inference_mode where gradients are recorded; pass {name}.clone(), "
                "compute it under torch.no_grad(), or call under torch.no_grad()"
            )


def check_holds_values(**tensors: Tensor | None) -> None:
    """Raise ``ValueError`` if a tensor given is on the meta device: what reads values cannot go by its shape."""
    for name, tensor in tensors.items():
        if tensor is not None and tensor.is_meta:
            raise ValueError(f"{name} must hold values, got a tensor on the meta device")


def check_same_device(**tensors: Tensor | None) -> None:
    """Raise ``ValueError`` unless all tensors given lie on one device."""
    devices = {name: tensor.device for name, tensor in tensors.items() if tensor is not None}
    if len(set(devices.values())) > 1:
        listed = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"{' and '.join(devices)} must be on the same device, got {listed}")


def check_integer(name: str, value: object, *, at_least: int | None = None) -> int:
    """Return ``value`` as an int if it is an integer, numpy's included, from ``at_least`` to 2^31 - 1, else raise."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    number = int(value)
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {_shown(number)}")
    if abs(number) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST} in magnitude, got {_shown(number)}")
    return number


def check_integers(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a dense tensor of integers, else raise ``TypeError``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of integers, got {type(value).__name__}")
    other = value.is_floating_point() or value.is_complex() or value.dtype == torch.bool or value.is_quantized
    if other or value.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch computes hardly anything in these
        raise TypeError(f"{name} must be a tensor of integers, got {value.dtype}; convert it with .long()")
    check_dense(name, value, "a dense tensor of integers")
    check_differentiable({name: value}, learns=True)
    return value


def check_positive(name: str, value: object) -> int:
    """Return ``value`` as an int if it is an integer of at least one, else raise."""
    return check_integer(name, value, at_least=1)


def check_sizes(name: str, values: object, *, at_least: int = 1) -> tuple[int, ...]:
    """Return a sequence of sizes as a tuple of ints, or raise.

    Args:
        name: the argument, for the message.
        values: what the user gave.
        at_least: the smallest number of sizes.

    Raises:
        TypeError: no sequence, or one of something else than integers.
        ValueError: a size below 1, or too few of them.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a sequence of sizes such as (8, 8), got {type(values).__name__}")
    if len(values) < at_least:
        raise ValueError(f"{name} must hold at least {at_least} size{'s' * (at_least > 1)}, got {len(values)}")
    return tuple(check_positive(name, value) for value in values)


def check_number(name: str, value: object, *, above: float | None = None, at_least: float | None = None) -> float:
    """Return ``value`` as a Python number if it is a finite real one, numpy's included, within the bounds, else raise.

    Args:
        name: the argument, for the message.
        value: what the user gave.
        above: the value must be larger than this; where this is 0, it must not become 0 in float32.
        at_least: the value must not be smaller than this.

    Returns:
        A float, or an int for an integer that a float holds exactly.

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
        raise ValueError(f"{name} must be finite, got {_shown(value)}")
    if above is not None and not (number > above and (above != 0 or number >= _SMALLEST)):
        rule = "positive" if above == 0 else f"above {above}"
        raise ValueError(f"{name} must be {rule}, got {_shown(value)}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {_shown(value)}")
    return int(number) if isinstance(value, Integral) and abs(number) < 2**53 else number


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` as a bool if it is True or False, numpy's included, else raise ``TypeError``."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def check_generator(generator: object) -> None:
    """Raise ``TypeError`` unless ``generator`` is a `torch.Generator` or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator or None, got {type(generator).__name__}; a seed becomes one by "
            "torch.Generator().manual_seed(seed)"
        )


def _shown(value: object) -> str:
    """A number for a message; of one with very many digits, how many bits it has."""
    if isinstance(value, Integral) and int(value).bit_length() > 128:
        return f"an integer of {int(value).bit_length()} bits"
    return str(value)


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless ``value`` is one of the names in ``choices``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(sorted(choices))}, got {type(value).__name__}")
    if value not in choices:
        close = difflib.get_close_matches(value.lower(), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name} must be one of {', '.join(sorted(choices))}, got {value!r}{hint}")
