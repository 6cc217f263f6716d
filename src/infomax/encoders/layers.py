"""The layers that encoders are built from: named blocks of a linear or convolutional layer, batch norm and ReLU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from infomax._checks import check_integer, check_positive, check_sizes

__all__ = ["Conv", "check_layers", "convolutions", "fully_connected", "shrink"]


class Conv(NamedTuple):
    """One convolutional layer: convolution, batch norm, ReLU and optional max pooling.

    Args:
        channels: output channels.
        kernel: side of the square kernel, pixels.
        stride: stride, pixels.
        padding: zero padding on each side, pixels.
        pool: ``(kernel, stride)`` of a max pooling after the ReLU; no pooling when None.

    Example:
        >>> Conv(64, kernel=4, stride=2, padding=1)
        Conv(channels=64, kernel=4, stride=2, padding=1, pool=None)
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: tuple[int, int] | None = None


def check_layers(name: str, layers: object) -> tuple[Conv, ...]:
    """Return the layers with their options checked and converted to Python integers, or raise.

    Args:
        name: the argument, for the message.
        layers: what the user gave.

    Raises:
        TypeError: ``layers`` is not a sequence of :class:`Conv`, or an option is not an integer.
        ValueError: an option is out of range.
    """
    if not isinstance(layers, Sequence) or not all(isinstance(layer, Conv) for layer in layers):
        raise TypeError(f"{name} must be a sequence of Conv, got {layers!r}")
    checked = []
    for layer in layers:
        channels, kernel, stride = (
            check_positive(f"{name}: {option}", value)
            for option, value in (("channels", layer.channels), ("kernel", layer.kernel), ("stride", layer.stride))
        )
        padding = check_integer(f"{name}: padding", layer.padding, at_least=0)
        pool = None if layer.pool is None else check_sizes(f"{name}: pool", layer.pool, at_least=2)
        if pool is not None and len(pool) > 2:
            raise ValueError(f"{name}: pool must be (kernel, stride), got {layer.pool}")
        checked.append(Conv(channels, kernel, stride, padding, None if pool is None else (pool[0], pool[1])))
    return tuple(checked)


def convolutions(
    layers: Sequence[Conv], channels: int, size: tuple[int, int], first: int = 1
) -> tuple[nn.Module, tuple[int, int]]:
    """Return layers named ``conv{first}``, ... in sequence, and the spatial size of their output."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for number, layer in enumerate(layers, start=first):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        block["conv"] = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding, bias=False)
        block["norm"] = nn.BatchNorm2d(layer.channels)
        block["activation"] = nn.ReLU()
        came = size
        size = shrink(size, layer.kernel, layer.stride, layer.padding)
        if layer.pool is not None:
            block["pool"] = nn.MaxPool2d(*layer.pool)
            size = shrink(size, *layer.pool, 0)
        if min(size) < 1:
            raise ValueError(f"layer conv{number} = {layer} gives an empty output for a {came[0]}x{came[1]} map")
        stages[f"conv{number}"] = nn.Sequential(block)
        channels = layer.channels
    return (nn.Sequential(stages) if stages else nn.Identity()), size


def shrink(size: tuple[int, int], kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Return the spatial size after a convolution or a pooling."""
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def fully_connected(widths: Sequence[int], flat: int) -> nn.Sequential:
    """Return ``flatten`` followed by layers named ``fc1``, ..."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, width in enumerate(widths, start=1):
        stages[f"fc{number}"] = nn.Sequential(
            OrderedDict[str, nn.Module](
                linear=nn.Linear(flat, width, bias=False), norm=nn.BatchNorm1d(width), activation=nn.ReLU()
            )
        )
        flat = width
    return nn.Sequential(stages)
