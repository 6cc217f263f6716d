"""The one rule for precision, scores, sums and losses in float32 at least; and the dtype and device of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from infomax._checks import check_differentiable

__all__ = [
    "accumulation_dtype",
    "autocasting",
    "cast_for_product",
    "check_device",
    "check_dtype",
    "check_fits_module",
    "may_differ",
    "place",
    "uncast",
    "uncast_everywhere",
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


def may_differ(*tensors: Tensor) -> bool:
    """Say whether features may have different dtypes: autocast casts them alike, but for float64."""
    return autocasting(tensors[0].device.type) and all(tensor.dtype != torch.float64 for tensor in tensors)


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
    return uncast(values.device)


def uncast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast casts nothing on a device.

    Whatever trains for several steps needs it: autocast keeps each parameter as it was cast first until the user's
    context ends, so all steps after the first would read the first weights.
    """
    return torch.autocast(device.type, enabled=False) if autocasting(device.type) else nullcontext()


@contextmanager
def uncast_everywhere() -> Iterator[None]:
    """A context in which autocast casts nothing, for what computes on whatever device its inputs are on."""
    with ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps", "xpu"):
            stack.enter_context(uncast(torch.device(kind)))
        yield


def check_dtype(dtype: object, name: str = "dtype") -> None:
    """Raise ``TypeError`` unless ``dtype`` is one that parameters may have, or None.

    Args:
        dtype: what the user gave.
        name: the argument, for the message.
    """
    real = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    if dtype is not None and not real:
        raise TypeError(f"{name} must be a real floating torch.dtype of at least 16 bits, or None, got {dtype!r}")


def check_device(device: torch.device | str) -> torch.device:
    """Return the device, or raise ``ValueError`` where there is none of that name."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be a torch.device or the name of one, got {device!r}") from error


def place(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a module's parameters to a device and a dtype, as the ``device=`` and ``dtype=`` of its constructor ask.

    Args:
        module: whose parameters are moved.
        device: where to; nowhere else when None.
        dtype: which; the one that they have when None.

    Raises:
        TypeError: the dtype is not real floating.
        ValueError: the device is none.
    """
    check_dtype(dtype)
    module.to(device=None if device is None else check_device(device), dtype=dtype)


def check_fits_module(module: nn.Module, called: str = "loss_fn", /, **features: Tensor) -> None:
    """Raise unless the features have the dtype and the device of a module's parameters, or autocast casts them.

    A module without parameters, or with parameters of several dtypes or devices, takes care of this itself.

    Args:
        module: what the features go into.
        called: how a user names it, or what holds it, for the messages.
        **features: tensors by the name of the argument.

    Raises:
        TypeError: another dtype.
        ValueError: another device; or features of inference mode, which parameters that learn cannot learn from.
    """
    parameters = list(module.parameters())
    check_differentiable(features, learns=any(parameter.requires_grad for parameter in parameters))
    devices = {parameter.device for parameter in parameters}
    for name, tensor in features.items():
        if len(devices) == 1 and tensor.device not in devices:
            raise ValueError(
                f"{name} must be on the device of the parameters, {parameters[0].device}, got {tensor.device}; move "
                f"the features with .to(device), or the parameters with {called}.to({str(tensor.device)!r})"
            )
    dtypes = {parameter.dtype for parameter in parameters if parameter.is_floating_point()}
    if len(dtypes) != 1:
        return
    dtype = dtypes.pop()
    for name, tensor in features.items():
        cast = autocasting(tensor.device.type) and torch.float64 not in (tensor.dtype, dtype)
        if tensor.dtype != dtype and not cast:
            convert = ".float()" if dtype == torch.float32 else f".to({dtype})"
            raise TypeError(
                f"{name} must have the dtype of the parameters, {dtype}, got {tensor.dtype}; convert the features with "
                f"{convert}, or the parameters with {called}.to({tensor.dtype}), or call under torch.autocast"
            )
