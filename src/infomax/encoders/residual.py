"""Bottleneck residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_positive

__all__ = ["Bottleneck", "Residual", "residual_layers"]


class Residual(NamedTuple):
    """The options of one bottleneck block.

    Args:
        width: channels inside the block; the output has four times as many.
        stride: stride of the 3x3 convolution, pixels.

    Example:
        >>> Residual(64)
        Residual(width=64, stride=1)
    """

    width: int
    stride: int = 1


class Bottleneck(nn.Module):
    r"""A residual block of 1x1, 3x3 and 1x1 convolutions f with a shortcut s.

    .. math:: \mathrm{relu}\big( f(x) + s(x) \big)

    Every convolution of f is followed by batch norm, and all except the last also by ReLU. The shortcut is the
    identity, or a 1x1 convolution with batch norm where input and output shapes differ.

    Args:
        channels: input channels.
        width: channels inside the block; the output has ``4 * width``.
        stride: stride of the 3x3 convolution, pixels.

    Raises:
        ValueError: an option below 1.

    Source:
        He et al. 2016, figure 5 (right); stride and order as in the Deep InfoMax authors' code.

    Example:
        >>> tuple(Bottleneck(64, 32, stride=2)(torch.rand(2, 64, 8, 8)).shape)
        (2, 128, 4, 4)
    """

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        channels, width = check_positive("channels", channels), check_positive("width", width)
        stride = check_positive("stride", stride)
        out = self.expansion * width
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)),
        )
        self.shortcut: nn.Module = nn.Identity()
        if (channels, 1) != (out, stride):
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.shortcut(x))


def residual_layers(blocks: Sequence[Residual], channels: int) -> OrderedDict[str, nn.Module]:
    """Return bottleneck blocks named ``block1``, ..., for an `nn.Sequential`."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, block in enumerate(blocks, start=1):
        layers[f"block{number}"] = Bottleneck(channels, block.width, block.stride)
        channels = Bottleneck.expansion * block.width
    return layers
