"""Detection of the channel axis of an output, from the modules that computed the output."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

__all__ = ["SPATIAL", "ModuleTrace", "may_be_last", "shown_layout"]

_SECOND: dict[int, tuple[type[nn.Module], ...]] = {  # modules with channels second, by the number of axes
    3: (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.MaxPool1d, nn.AvgPool1d,
        nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d),
    4: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.MaxPool2d, nn.AvgPool2d,
        nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    5: (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.InstanceNorm3d, nn.MaxPool3d, nn.AvgPool3d,
        nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d),
}  # fmt: skip
_VALUE_BY_VALUE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")
_SEQUENCE = (nn.MultiheadAttention, nn.RNNBase)
SPATIAL = "PQRSTUVW"
"""Letters of the spatial axes in a layout, in order."""


def shown_layout(module: nn.Module, shape: tuple[int, ...]) -> str | None:
    """Return the layout of an output of three axes or more that the type of its module implies, or None.

    ``"N?C"`` means three axes with the channels last, and that the module does not imply which axis holds the examples.

    Example:
        >>> shown_layout(nn.Conv1d(3, 8, 3), (2, 8, 5)), shown_layout(nn.Linear(4, 5), (2, 8, 5))
        ('NCP', 'N?C')
        >>> shown_layout(nn.LayerNorm(6), (2, 4, 4, 6))
        'NPQC'
    """
    axes = len(shape)
    spatial = SPATIAL[: axes - 2]
    if isinstance(module, nn.Sequential):  # decided by its last module that is not elementwise
        telling = [m for m in module if isinstance(m, _SEQUENCE) or type(m).__module__ not in _VALUE_BY_VALUE]
        return shown_layout(telling[-1], shape) if telling else None
    if isinstance(module, (*_SECOND.get(axes, ()), nn.GroupNorm)):
        return f"NC{spatial}"
    if _last_axis(module) == shape[-1]:
        return "N?C" if axes == 3 else f"N{spatial}C"
    if axes > 3:
        return None
    if isinstance(module, _SEQUENCE):
        return "NPC" if module.batch_first else "PNC"
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        return shown_layout(module.self_attn, shape)
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return shown_layout(module.layers[-1], shape)
    return None


def _last_axis(module: nn.Module) -> int | None:
    """Return the number of channels of a module that keeps them in the last axis; None for other modules."""
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and len(module.normalized_shape) == 1:
        # A subclass with a forward of its own may normalise another axis, as timm's LayerNorm2d does.
        own = nn.LayerNorm if isinstance(module, nn.LayerNorm) else nn.RMSNorm
        return module.normalized_shape[0] if type(module).forward is own.forward else None
    return None


def may_be_last(encoder: nn.Module, size: int) -> bool:
    """Return whether any layer of the encoder keeps this number of channels in the last axis.

    Example:
        >>> may_be_last(nn.Sequential(nn.Linear(4, 6), nn.GELU()), 6)
        True
    """
    return any(_last_axis(module) == size for module in encoder.modules())


class ModuleTrace:
    """A record of the modules of an encoder and the shapes of their outputs, in the order in which they finish.

    Args:
        encoder: any module.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self._modules = set(encoder.modules())
        self._sequence_first = any(isinstance(m, _SEQUENCE) and not m.batch_first for m in self._modules)
        self._seen: list[tuple[nn.Module, tuple[int, ...]]] = []
        self._thread = threading.get_ident()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record modules inside a ``with`` block, with a global forward hook that is removed on exit."""
        handle = register_module_forward_hook(self._note)
        try:
            yield
        finally:
            handle.remove()

    def layout(self, module: nn.Module, shape: tuple[int, ...], examples: int) -> str | None:
        """Return the layout of a tensor of three axes or more that a module returned; None where it is unknown.

        The type of the module itself may imply the layout. Otherwise, earlier modules are considered that returned a
        tensor of the same shape and imply a layout, and the last of them decides. Where all axes after the first have
        the same length, the shape would not reveal a transposition after that earlier module. In this case, a tensor of
        three axes has no known layout unless the module itself implies one, and for more axes all considered modules
        must agree.

        Args:
            module: a module that ran once.
            shape: the shape of the tensor.
            examples: number N of examples, which distinguishes the axis of examples from the axis of tokens.

        Raises:
            ValueError: there are more than three axes, all after the first have the same length, and modules disagree.
        """
        found = shown_layout(module, shape)
        if found is None:
            end = max((number for number, (seen, _) in enumerate(self._seen) if seen is module), default=0)
            before = [shown_layout(seen, size) for seen, size in reversed(self._seen[:end]) if size == shape]
            shown = [layout for layout in before if layout is not None]
            if len(set(shape[1:])) > 1:
                found = shown[0] if shown else None
            elif len(shape) > 3 and len(set(shown)) > 1:
                raise ValueError(
                    f"local features of shape {shape} do not show which axis is the channels; pass local_layout='NCHW' "
                    "or 'NHWC'"
                )
            elif len(shape) > 3:
                found = shown[0] if shown else None
        return self._examples(found, shape, examples) if found == "N?C" else found

    def _examples(self, found: str, shape: tuple[int, ...], examples: int) -> str | None:
        first, second = shape[0] == examples, shape[1] == examples
        if first and not (second and self._sequence_first):
            return found.replace("?", "P")
        return "PNC" if second and not first else None

    def _note(self, module: nn.Module, _args: Any, output: Any) -> None:
        if threading.get_ident() == self._thread and module in self._modules:
            while isinstance(output, (tuple, list, Mapping)) and output:
                output = next(iter(output.values() if isinstance(output, Mapping) else output))
            self._seen.append((module, tuple(output.shape) if isinstance(output, Tensor) else ()))
