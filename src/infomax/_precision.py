"""The one rule for the precision of scores, sums and losses: float32 at least."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

__all__ = [
    "accumulation_dtype",
    "autocasting",
    "cast_for_product",
    "check_module_dtype",
    "widened",
    "without_autocast",
]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that scores and sums are held in: float64 for float64, otherwise float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def widened(values: Tensor) -> Tensor:
    """Return the values in their accumulation dtype; a float32 or float64 tensor is returned as it is."""
    return values.to(accumulation_dtype(values.dtype))


def autocasting(device: str) -> bool:
    """Say whether autocast is on for a type of device; tensors of shapes only have none."""
    # Not `torch.amp.is_autocast_available`, which torch 2.6 cannot trace.
    return device != "meta" and torch.is_autocast_enabled(device)


def cast_for_product(values: Tensor) -> Tensor:
    """Cast as autocast casts the inputs of a matrix product: to its dtype, but for float64; not at all where it is off.

    Here rather than by `torch.library.register_autocast`, which fixes a dtype once: autocast's may be changed.
    """
    device = values.device.type
    if not autocasting(device) or values.dtype == torch.float64:
        return values
    return values.to(torch.get_autocast_dtype(device))


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast casts nothing on the device of the values."""
    device = values.device.type
    return torch.autocast(device, enabled=False) if autocasting(device) else nullcontext()


def check_module_dtype(module: nn.Module, **features: Tensor) -> None:
    """Raise ``TypeError`` unless the features have the dtype of a module's parameters, or autocast casts them.

    A module without parameters, or with parameters of several dtypes, takes care of this itself.

    Args:
        module: what the features go into.
        **features: tensors by the name of the argument.
    """
    dtypes = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    if len(dtypes) != 1:
        return
    dtype = dtypes.pop()
    for name, tensor in features.items():
        cast = autocasting(tensor.device.type) and torch.float64 not in (tensor.dtype, dtype)
        if tensor.dtype != dtype and not cast:
            convert = ".float()" if dtype == torch.float32 else f".to({dtype})"
            raise TypeError(
                f"{name} must have the dtype of the parameters, {dtype}, got {tensor.dtype}; convert the features with "
                f"{convert}, or the parameters with loss_fn.to({tensor.dtype}), or call under torch.autocast"
            )
