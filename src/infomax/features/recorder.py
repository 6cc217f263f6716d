"""Recording of the outputs of submodules while an encoder runs."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointFunction
from torch.utils.hooks import RemovableHandle

from infomax.features.layer import Layer, find_layer, select

__all__ = ["Reading", "Recorder"]


class Reading(NamedTuple):
    """The tensor that a layer selects, and its shape before tensor indexing."""

    value: Tensor
    whole: tuple[int, ...]


class Recorder:
    """Forward hooks on chosen submodules, which record outputs only during `run`.

    The hooks stay on the encoder so that `torch.compile` sees them. Each call of `run` has its own record, which the
    hooks find through the thread that they run in, so threads may share a recorder, as may the replicas of
    `nn.DataParallel`. The hooks are removed when the recorder is garbage-collected. A module that holds both the
    encoder and its recorder can be copied and pickled, and the copy is independent of the original.

    Args:
        encoder: any module.
        layers: a name for each output, and the layer that it comes from (see `find_layer`).

    Raises:
        TypeError: the encoder is not a module.
        ValueError: the encoder does not have a layer.
    """

    def __init__(self, encoder: nn.Module, layers: Mapping[str, str]) -> None:
        if not isinstance(encoder, nn.Module):
            raise TypeError(f"encoder must be a torch.nn.Module, got {type(encoder).__name__}")
        self.layers: dict[str, Layer] = {key: find_layer(encoder, spec) for key, spec in layers.items()}
        self._store = _Store()
        self._handles: list[RemovableHandle] = []
        for name in dict.fromkeys(layer.module for layer in self.layers.values()):
            hook = _Hook(self._store, name)
            self._handles.append(encoder.get_submodule(name).register_forward_hook(hook))
        self._watch()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._watch()

    def remove(self) -> None:
        """Remove the hooks from the encoder; the recorder cannot be used afterwards."""
        _remove(self._handles)

    def run(self, encoder: nn.Module, *args: Any, **kwargs: Any) -> dict[str, Reading]:
        """Call the encoder and return the recorded outputs by name.

        Raises:
            RuntimeError: a layer did not run, ran several times, had its output overwritten, or lost its gradient in a
                reentrant checkpoint.
            ValueError: the output of a layer does not have an index or key.
            TypeError: the selected part of an output is not a tensor.
        """
        run = _Run(torch.is_grad_enabled() and _learns(encoder, args, kwargs))
        before, self._store.run = self._store.run, run
        try:
            with _plain_transformers(encoder):
                encoder(*args, **kwargs)
            return {key: self._read(layer, run) for key, layer in self.layers.items()}
        finally:
            self._store.run = before

    def _read(self, layer: Layer, run: _Run) -> Reading:
        calls = run.outputs.get(layer.module, [])
        if not calls:
            raise RuntimeError(
                f"{layer.title} was not called while the encoder ran, or its hooks are gone; tap a submodule "
                "that its forward uses, and tap before torch.compile or nn.DataParallel"
            )
        if len(calls) > 1:
            raise RuntimeError(
                f"{layer.title} was called {len(calls)} times in one forward, so that its output is ambiguous; "
                "tap a submodule that runs once, such as the block around it"
            )
        call = calls[0]
        output, source = select(call.output, layer)
        if call.reentrant and run.gradients and not output.requires_grad:
            raise RuntimeError(
                f"{layer.title} ran inside torch.utils.checkpoint with use_reentrant=True, which gives it an output "
                "without gradient, so that nothing before it would learn; pass use_reentrant=False to checkpoint"
            )
        if call.overwritten(source):
            raise RuntimeError(
                f"the output of {layer.title} was overwritten by a later layer, such as ReLU(inplace=True); "
                "tap that layer, or make it work out of place"
            )
        return Reading(output, tuple(source.shape))

    def _watch(self) -> None:
        weakref.finalize(self, _remove, self._handles)


class _Call:
    """The output of one call of a submodule, with the version counters of its tensors at that time."""

    def __init__(self, output: Any) -> None:
        self.output = output
        self.traced = torch.compiler.is_compiling()
        self.versions = {} if self.traced else _versions(output)
        self.copies = {} if self.traced else {id(value): value.clone() for value in _uncounted(output)}
        self.reentrant = not self.traced and not torch.is_grad_enabled() and _in_reentrant_checkpoint()

    def overwritten(self, tensor: Tensor) -> bool:
        """Return whether a returned tensor was written to later; for inference tensors, whether its values changed."""
        if self.traced or torch.compiler.is_compiling():
            return False
        if id(tensor) in self.copies:
            return not _same(tensor, self.copies[id(tensor)])
        return id(tensor) in self.versions and self.versions[id(tensor)] != tensor._version  # noqa: SLF001 (as below)


class _Run:
    """The record of one call of the encoder."""

    def __init__(self, gradients: bool) -> None:
        self.gradients = gradients
        self.outputs: dict[str, list[_Call]] = {}


class _Store:
    """The record of the call in progress, one per thread, through which the hooks find it; None between calls."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple[type[_Store], tuple[()]]:
        return _Store, ()  # a copy starts empty

    @property
    def run(self) -> _Run | None:
        return getattr(self._of_thread, "run", None)

    @run.setter
    def run(self, run: _Run | None) -> None:
        self._of_thread.run = run


class _Hook:
    """A forward hook that can be copied and pickled."""

    def __init__(self, store: _Store, name: str) -> None:
        self.store = store
        self.name = name

    def __call__(self, _module: nn.Module, _args: Any, output: Any) -> None:
        run = self.store.run
        if run is not None:
            run.outputs.setdefault(self.name, []).append(_Call(output))


class _Plain(TorchFunctionMode):
    """A mode that changes no function; torch's transformers skip their fused path while any mode is active."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _plain_transformers(encoder: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which `nn.TransformerEncoder` does not take its fused path in evaluation mode.

    On the fused path, layers return nested tensors or do not run. A mode is used because it affects only its own
    thread; the switch in `torch.backends.mha` affects all threads.
    """
    fused = not torch.compiler.is_compiling() and any(
        isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention))
        and not module.training
        for module in encoder.modules()
    )
    return _Plain() if fused else nullcontext()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (Mapping, tuple, list)):
        for value in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors(value)
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield from _tensors(getattr(output, field.name))


def _versions(output: Any) -> dict[int, int]:
    counted = (tensor for tensor in _tensors(output) if not tensor.is_inference())
    return {id(tensor): tensor._version for tensor in counted}  # noqa: SLF001 (there is no public counter of writes)


def _uncounted(output: Any) -> list[Tensor]:
    """Return the tensors made in inference mode, which do not count writes; skip meta tensors, which hold no values."""
    return [tensor for tensor in _tensors(output) if tensor.is_inference() and not tensor.is_meta]


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _learns(encoder: nn.Module, args: Any, kwargs: Any) -> bool:
    inputs = any(tensor.requires_grad for tensor in _tensors([args, kwargs]))
    return inputs or any(parameter.requires_grad for parameter in encoder.parameters())


def _in_reentrant_checkpoint() -> bool:
    """Return whether this code runs inside the forward of torch's reentrant checkpoint, not just in ``no_grad``."""
    inside = CheckpointFunction.forward.__code__
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not inside:
        frame = frame.f_back
    return frame is not None


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
