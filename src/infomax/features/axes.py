"""Which axis of a three-dimensional output holds the channels, as the modules that made it show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

__all__ = ["Witness", "shown_layout"]

_SECOND = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.LazyConv1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
_VALUE_BY_VALUE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")
_SEQUENCE = (nn.MultiheadAttention, nn.RNNBase)


def shown_layout(module: nn.Module, shape: tuple[int, ...]) -> str | None:
    """The layout of an output of three axes as its own module shows it; None where it does not.

    ``"N?C"`` means that channels come last, and that the module does not know which axis holds the examples.

    Example:
        >>> shown_layout(nn.Conv1d(3, 8, 3), (2, 8, 5)), shown_layout(nn.Linear(4, 5), (2, 8, 5))
        ('NCP', 'N?C')
    """
    if isinstance(module, nn.Sequential):  # its last module, but for what works value by value
        telling = [m for m in module if isinstance(m, _SEQUENCE) or type(m).__module__ not in _VALUE_BY_VALUE]
        return shown_layout(telling[-1], shape) if telling else None
    if isinstance(module, _SECOND):
        return "NCP"
    if isinstance(module, _SEQUENCE):
        return "NPC" if module.batch_first else "PNC"
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        return shown_layout(module.self_attn, shape)
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return shown_layout(module.layers[-1], shape)
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return "N?C" if tuple(module.normalized_shape) == shape[2:] else None
    if isinstance(module, nn.Linear):
        return "N?C" if module.out_features == shape[2] else None
    if isinstance(module, nn.Embedding):
        return "N?C" if module.embedding_dim == shape[2] else None
    return None


class Witness:
    """Notes the modules of an encoder whose output has three axes, in the order in which they finish.

    Args:
        encoder: any module.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self._modules = set(encoder.modules())
        self._sequence_first = any(isinstance(m, _SEQUENCE) and not m.batch_first for m in self._modules)
        self._seen: list[tuple[nn.Module, tuple[int, ...]]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take notes inside a ``with``, by a hook on all modules that is gone afterwards."""
        handle = register_module_forward_hook(self._note)
        try:
            yield
        finally:
            handle.remove()

    def layout(self, module: nn.Module, examples: int) -> str | None:
        """The layout of what a module returned; ``""`` if it has not three axes, None where nothing shows it.

        Of the modules that finished no later and returned a tensor of the same shape, the last that shows its layout
        decides. Where both axes after the first have one length, a transposition would not be seen, so only the
        module itself counts.

        Args:
            module: a module that ran once.
            examples: N, by which examples and tokens are told apart.
        """
        ends = [number for number, (seen, _) in enumerate(self._seen) if seen is module]
        if not ends:
            return ""
        shape = self._seen[ends[-1]][1]
        found = shown_layout(module, shape)
        if found is None and shape[1] != shape[2]:
            before = (shown_layout(seen, size) for seen, size in reversed(self._seen[: ends[-1]]) if size == shape)
            found = next((layout for layout in before if layout is not None), None)
        return self._examples(found, shape, examples) if found == "N?C" else found

    def _examples(self, found: str, shape: tuple[int, ...], examples: int) -> str | None:
        first, second = shape[0] == examples, shape[1] == examples
        if first and not (second and self._sequence_first):
            return found.replace("?", "P")
        return "PNC" if second and not first else None

    def _note(self, module: nn.Module, _args: Any, output: Any) -> None:
        if module in self._modules:
            tensor = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(tensor, Tensor) and tensor.ndim == 3:
                self._seen.append((module, tuple(tensor.shape)))
