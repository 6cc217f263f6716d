"""Checks of arguments that users pass, all in one place and with one style of message.

Every message names the argument, what was expected, what was given and, where that is not obvious, what to do.
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

_SMALLEST = 2.0**-126  # the smallest normal float32

LARGEST = 2**31 - 1
"""Largest magnitude of an integer option: far above any real size or count, and the product of two fits in 64 bits."""


def shape_of(shape: Tensor | Sequence[object]) -> str:
    """Format a shape, or the shape of a tensor, as Python writes a tuple, for messages."""
    sizes = shape.shape if isinstance(shape, Tensor) else shape
    return "(" + ", ".join(str(size) for size in sizes) + ("," if len(sizes) == 1 else "") + ")"


def check_floating(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a dense tensor of real floats of 16 bits or more, else raise ``TypeError``."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must have a real floating dtype, got {value.dtype}; convert it with .float()")
    if value.dtype.itemsize < 2:  # float8 is a storage format: torch supports hardly any computation in it
        raise TypeError(
            f"{name} must have a floating dtype of at least 16 bits, got {value.dtype}; convert it with .bfloat16()"
        )
    check_dense(name, value)
    return value


def check_dense(name: str, value: Tensor, kind: str = "a dense tensor") -> None:
    """Raise ``TypeError`` if a tensor is sparse, nested or of another layout in which torch supports few operations."""
    if value.is_nested:
        raise TypeError(
            f"{name} must be {kind}, got a nested tensor; convert it with .to_padded_tensor(0.0), with a mask"
        )
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be {kind}, got layout {value.layout}; convert it with .to_dense()")


def check_differentiable(tensors: Mapping[str, Tensor], *, learns: bool = False) -> None:
    """Raise ``ValueError`` if gradients are recorded and a tensor was made in inference mode: autograd cannot save it.

    Args:
        tensors: the tensors, each under the name of its argument.
        learns: whether the module that receives the tensors has parameters that require gradients.
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
    """Raise ``ValueError`` if a tensor is on the meta device: such a tensor has a shape but no values to read."""
    for name, tensor in tensors.items():
        if tensor is not None and tensor.is_meta:
            raise ValueError(f"{name} must hold values, got a tensor on the meta device")


def check_same_device(**tensors: Tensor | None) -> None:
    """Raise ``ValueError`` unless all tensors are on one device; None is ignored."""
    devices = {name: tensor.device for name, tensor in tensors.items() if tensor is not None}
    if len(set(devices.values())) > 1:
        listed = ", ".join(f"{name} on {device}" for name, device in devices.items())
        raise ValueError(f"{' and '.join(devices)} must be on the same device, got {listed}")


def check_integer(name: str, value: object, *, at_least: int | None = None) -> int:
    """Return ``value`` as an int, or raise unless it is an integer of at least ``at_least``.

    NumPy integers are accepted, bools are not. The magnitude must be at most 2^31 - 1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    number = int(value)
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {_shown(number)}")
    if abs(number) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST} in magnitude, got {_shown(number)}")
    return number


def check_integers(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a dense tensor of integers.

    Raises:
        TypeError: the value is not such a tensor.
        ValueError: the tensor was made in inference mode, and gradients are recorded.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of integers, got {type(value).__name__}")
    other = value.is_floating_point() or value.is_complex() or value.dtype == torch.bool or value.is_quantized
    if other or value.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch supports few operations on these
        raise TypeError(f"{name} must be a tensor of integers, got {value.dtype}; convert it with .long()")
    check_dense(name, value, "a dense tensor of integers")
    check_differentiable({name: value}, learns=True)
    return value


def check_positive(name: str, value: object) -> int:
    """Return ``value`` as an int if it is an integer of at least 1, else raise."""
    return check_integer(name, value, at_least=1)


def check_sizes(name: str, values: object, *, at_least: int = 1) -> tuple[int, ...]:
    """Return a sequence of sizes as a tuple of ints, or raise.

    Args:
        name: the argument, for the message.
        values: what the user gave.
        at_least: the smallest number of sizes.

    Raises:
        TypeError: ``values`` is not a sequence of integers.
        ValueError: a size is below 1, or there are too few sizes.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a sequence of sizes such as (8, 8), got {type(values).__name__}")
    if len(values) < at_least:
        raise ValueError(f"{name} must hold at least {at_least} size{'s' * (at_least > 1)}, got {len(values)}")
    return tuple(check_positive(name, value) for value in values)


def check_number(name: str, value: object, *, above: float | None = None, at_least: float | None = None) -> float:
    """Return ``value`` as a Python number, or raise unless it is a finite real number within the bounds.

    Args:
        name: the argument, for the message.
        value: what the user gave; NumPy numbers are accepted, bools and tensors are not.
        above: the value must be larger than this; where this is 0, the value must be at least 2^-126, the smallest
            normal float32.
        at_least: the value must not be smaller than this.

    Returns:
        An int for an integer below 2^53 in magnitude, which a float represents exactly; otherwise a float.

    Raises:
        TypeError: the value is not a real number.
        ValueError: the value is NaN, infinite, too large for a float, or out of bounds.
    """
    if isinstance(value, Tensor):
        raise TypeError(f"{name} must be a number, got a torch.Tensor; pass tensor.item()")
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not -math.inf < number < math.inf:  # `math.isfinite` takes no float that `torch.compile` has made symbolic
        raise ValueError(f"{name} must be finite, got {_shown(value)}")
    if above is not None and not (number > above and (above != 0 or number >= _SMALLEST)):
        rule = "positive" if above == 0 else f"above {above}"
        raise ValueError(f"{name} must be {rule}, got {_shown(value)}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {_shown(value)}")
    return int(number) if isinstance(value, Integral) and abs(number) < 2**53 else number


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` as a bool if it is a Python or NumPy bool, else raise ``TypeError``."""
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
    """Format a number for a message; an integer of more than 128 bits is described by its number of bits."""
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
