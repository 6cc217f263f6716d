"""The precision rule (scores, sums and losses in float32 at least), and the dtype and device of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from infomax._checks import check_differentiable, check_floating, shape_of

__all__ = [
    "accumulation_dtype",
    "autocasting",
    "cast_for_product",
    "check_device",
    "check_dtype",
    "check_fits_module",
    "check_rows",
    "device_of",
    "may_differ",
    "place",
    "widened",
    "without_autocast",
    "without_autocast_anywhere",
]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that scores and sums are held in: float64 for float64, otherwise float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def widened(values: Tensor) -> Tensor:
    """Return the values in their accumulation dtype; a float32 or float64 tensor is returned unchanged."""
    return values.to(accumulation_dtype(values.dtype))


def autocasting(device: str) -> bool:
    """Return whether autocast is on for a type of device; the meta device has no autocast."""
    # `torch.amp.is_autocast_available` is avoided because torch 2.6 cannot trace it.
    return device != "meta" and torch.is_autocast_enabled(device)


def may_differ(*tensors: Tensor) -> bool:
    """Return whether features may have different dtypes: under autocast, which casts all dtypes except float64."""
    return autocasting(tensors[0].device.type) and all(tensor.dtype != torch.float64 for tensor in tensors)


def cast_for_product(values: Tensor) -> Tensor:
    """Cast as autocast casts the inputs of a matrix product: to its dtype, except float64; not where autocast is off.

    `torch.library.register_autocast` is not used because it fixes the dtype once, while the dtype of autocast may
    change.
    """
    device = values.device.type
    if not autocasting(device) or values.dtype == torch.float64:
        return values
    return values.to(torch.get_autocast_dtype(device))


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that disables autocast on a device.

    Code that trains for several steps needs this context. Autocast caches the cast copy of each parameter until the
    user's autocast context ends, so every step after the first would read the weights of the first step.
    """
    return torch.autocast(device.type, enabled=False) if autocasting(device.type) else nullcontext()


@contextmanager
def without_autocast_anywhere() -> Iterator[None]:
    """Disable autocast on all types of device, for code whose inputs may be on any device."""
    with ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps", "xpu"):
            stack.enter_context(without_autocast(torch.device(kind)))
        yield


def check_dtype(dtype: object) -> None:
    """Raise ``TypeError`` unless ``dtype`` is a real floating dtype of at least 16 bits, or None."""
    real = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    if dtype is not None and not real:
        raise TypeError(f"dtype must be a real floating torch.dtype of at least 16 bits, or None, got {dtype!r}")


def check_device(device: torch.device | str) -> torch.device:
    """Return the device, or raise ``ValueError`` if torch knows no device of that name, or cannot use it here."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be a torch.device or the name of one, got {device!r}") from error
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, ImportError) as error:  # these depend on what torch was built with
        said = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(
            f"device must be one that torch can use on this machine, got '{found}'; torch says: {said}"
        ) from error
    return found


def device_of(module: nn.Module, tensor: object = None) -> torch.device:
    """Return the device of a module's first parameter; without parameters that of ``tensor``, or else the CPU."""
    parameter = next(module.parameters(), None)
    device: torch.device = getattr(tensor, "device", torch.device("cpu")) if parameter is None else parameter.device
    return device


def place(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a module to the ``device=`` and ``dtype=`` that were passed to its constructor.

    Args:
        module: the module to move, in place.
        device: the new device; unchanged when None.
        dtype: the new dtype of the floating-point parameters; unchanged when None.

    Raises:
        TypeError: the dtype is not a real floating dtype of at least 16 bits.
        ValueError: torch knows no device of that name, or cannot use it on this machine.
    """
    check_dtype(dtype)
    module.to(device=None if device is None else check_device(device), dtype=dtype)


def check_rows(module: nn.Module, rows: Tensor, features: int) -> None:
    """Raise unless rows (\\*, features) are floats that fit a layer's parameters, as :func:`check_fits_module` says."""
    check_floating("rows", rows)
    if rows.shape[-1:] != (features,):
        raise ValueError(f"rows must have shape (K, {features}), got {shape_of(rows)}")
    check_fits_module(module, "module", rows=rows)


def _check_alike(features: dict[str, Tensor]) -> None:
    (first, reference), *others = features.items()
    for name, tensor in others:
        if tensor.dtype != reference.dtype and not may_differ(reference, tensor):
            autocast = "" if torch.float64 in (tensor.dtype, reference.dtype) else ", or call under torch.autocast"
            raise TypeError(
                f"{name} must have the dtype of {first}, {reference.dtype}, got {tensor.dtype}; convert one{autocast}"
            )


def check_fits_module(module: nn.Module, called: str = "loss_fn", /, **features: Tensor) -> None:
    """Raise unless the features have the device and the dtype of a module's parameters, or autocast casts them.

    Without parameters, the features need the same dtype. Where parameters have several dtypes, dtypes are not checked;
    where they are on several devices, devices are not.

    Args:
        module: the module that receives the features.
        called: the name of the module, or of the object that holds it, in the messages.
        **features: tensors, each under the name of its argument.

    Raises:
        TypeError: the features have another dtype.
        ValueError: the features are on another device, or were made in inference mode while gradients are recorded.
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
    if not parameters:
        _check_alike(features)
    if len(dtypes) != 1:
        return
    dtype = dtypes.pop()
    for name, tensor in features.items():
        castable = torch.float64 not in (tensor.dtype, dtype)  # autocast leaves float64 alone
        if tensor.dtype != dtype and not (castable and autocasting(tensor.device.type)):
            convert = ".float()" if dtype == torch.float32 else f".to({dtype})"
            autocast = ", or call under torch.autocast" if castable else ""
            raise TypeError(
                f"{name} must have the dtype of the parameters, {dtype}, got {tensor.dtype}; convert the features with "
                f"{convert}, or the parameters with {called}.to({tensor.dtype}){autocast}"
            )
