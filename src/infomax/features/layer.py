"""Layers by name, such as ``"layer2"``, and parts of their outputs, such as ``"blocks.3[0][:, 1:]"``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from infomax._checks import shape_of

__all__ = ["Layer", "find_layer", "select"]

_PATTERN = re.compile(r"(?P<module>[^\[\]]*)(?P<indices>(\[[^\[\]]+\])*)")
_NUMBER = re.compile(r"[+-]?\d+")


class Layer(NamedTuple):
    """A submodule, and the selected part of its output.

    Args:
        spec: the layer as the user wrote it.
        module: name of the submodule; empty for the encoder itself.
        indices: indices, keys and slices to apply to the output, in order.
    """

    spec: str
    module: str
    indices: tuple[Any, ...]

    @property
    def title(self) -> str:
        """The name of the layer in error messages."""
        return f"layer {self.spec!r}" if self.spec else "the encoder's output"


def find_layer(encoder: nn.Module, spec: str) -> Layer:
    """Parse ``name``, ``name[index]``, ``name[key]`` or ``[key]``, and check that the encoder has that submodule.

    Args:
        encoder: any module.
        spec: name of a submodule as in `named_modules`, empty for the encoder itself; then any number of brackets with
            a number, slices or a key, which select from the tuple, dict, dataclass or tensor that is returned.

    Returns:
        The `Layer`.

    Raises:
        TypeError: ``spec`` is not a string.
        ValueError: there is no such submodule (the message lists close names), or the brackets hold no valid index.

    Example:
        >>> find_layer(nn.TransformerEncoderLayer(8, 2), "self_attn[0]").indices
        (0,)
    """
    if not isinstance(spec, str):
        raise TypeError(f"a layer must be the name of a submodule, got {type(spec).__name__}")
    names = [name for name, _ in encoder.named_modules(remove_duplicate=False)]
    if spec in names:
        return Layer(spec, spec, ())
    match = _PATTERN.fullmatch(spec)
    if match is None:
        raise ValueError(f"a layer must read name, name[index] or name[key], got {spec!r}")
    if match["module"] not in names:
        close = difflib.get_close_matches(match["module"], names, n=5, cutoff=0.5)
        children = [name for name in names if name and "." not in name]
        hint = f"did you mean {', '.join(map(repr, close))}?" if close else f"it has {', '.join(children) or 'none'}"
        raise ValueError(
            f"a layer must be a submodule of the encoder, and {type(encoder).__name__} has no submodule "
            f"{match['module']!r}; {hint}"
        )
    indices = re.findall(r"\[([^\[\]]+)\]", match["indices"])
    return Layer(spec, match["module"], tuple(_index(text) for text in indices))


def select(output: Any, layer: Layer) -> tuple[Tensor, Tensor]:
    """Return what a layer selects from the output of its submodule, and the same before indexing into a tensor.

    The second is a tensor that the submodule returned; the first is the second, or a part of it.

    Raises:
        ValueError: the output does not have an index or key.
        TypeError: the selected part is not a tensor.
    """
    source: Tensor | None = None
    for index in layer.indices:
        if source is None and isinstance(output, Tensor):
            source = output
        output = _pick(output, index, layer)
    if not isinstance(output, Tensor):
        raise TypeError(f"{layer.title} must give a tensor, got {_describe(output)}{_how_to_pick(output, layer)}")
    return output, output if source is None else source


def _pick(output: Any, index: Any, layer: Layer) -> Any:
    try:
        if isinstance(index, str) and not isinstance(output, (Tensor, Mapping)):  # a named tuple, a dataclass
            return getattr(output, index)
        if isinstance(output, Mapping) and isinstance(index, int) and index not in output:
            index = str(index)  # torchvision's feature pyramids have keys such as "0"
        return output[index]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{layer.title} asks for [{index}], which {_describe(output)} does not have") from error


def _index(text: str) -> Any:
    parts = [part.strip() for part in text.split(",")]
    parsed = tuple(_part(part) for part in parts)
    if len(parsed) == 1:
        return parsed[0]
    if any(isinstance(part, str) for part in parsed):
        raise ValueError(f"an index must hold numbers and slices, or be one key, got [{text}]")
    return parsed


def _part(text: str) -> Any:
    if _NUMBER.fullmatch(text):
        return int(text)
    if text == "...":
        return ...
    bounds = [bound.strip() for bound in text.split(":")]
    if 2 <= len(bounds) <= 3 and all(not bound or _NUMBER.fullmatch(bound) for bound in bounds):
        return slice(*(int(bound) if bound else None for bound in bounds))
    return text.strip("'\"")


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {shape_of(output)}"
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with keys {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    if is_dataclass(output) and not isinstance(output, type):
        return f"a {type(output).__name__} with {', '.join(field.name for field in fields(output))}"
    return f"a {type(output).__name__}"


def _how_to_pick(output: Any, layer: Layer) -> str:
    if isinstance(output, Mapping) and output:
        return f"; pick one, as in '{layer.spec}[{next(iter(output))}]'"
    if isinstance(output, (tuple, list)) and output:
        return f"; pick one, as in '{layer.spec}[0]'"
    if is_dataclass(output) and not isinstance(output, type) and fields(output):
        return f"; pick one, as in '{layer.spec}[{fields(output)[0].name}]'"
    return ""
