"""An encoder of this library, deeper than the paper's, for images of 32 pixels."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from infomax._checks import check_positive
from infomax.encoders.layers import Conv, convolutions, fully_connected
from infomax.encoders.residual import BasicBlock
from infomax.encoders.staged import StagedEncoder

__all__ = ["residual32"]


def residual32(*, input_channels: int = 3, global_dim: int = 64) -> StagedEncoder:
    """`conv32` with a residual block at the end of ``local`` and of ``conv``, for 32x32 images.

    The sizes of all features are those of `conv32`: the local map is (128, 8, 8), ``conv`` (256, 4, 4), ``fc`` 1024
    wide. Each block adds two 3x3 convolutions. An image takes 2.7 times as many products as in `conv32`.

    Args:
        input_channels: channels C of the images (N, C, 32, 32).
        global_dim: width d of `y`.

    Returns:
        A `StagedEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Ours. The other layers are those of Hjelm et al., ICLR 2019; the block is that of He et al. 2016.

    Example:
        >>> import torch
        >>> encoder = residual32()
        >>> local, global_ = encoder(torch.rand(2, 3, 32, 32))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 128, 8, 8), (2, 64))
    """
    input_channels = check_positive("input_channels", input_channels)
    global_dim = check_positive("global_dim", global_dim)
    to_local, local_size = convolutions([Conv(64, 4, 2, 1), Conv(128, 4, 2, 1)], input_channels, (32, 32))
    to_conv, last_size = convolutions([Conv(256, 4, 2, 1)], 128, local_size, first=3)
    return StagedEncoder(
        local=_then_block(to_local, 128),
        conv=_then_block(to_conv, 256),
        fc=fully_connected([1024], 256 * last_size[0] * last_size[1]),
        y=nn.Linear(1024, global_dim),
        input_size=(32, 32),
        input_channels=input_channels,
        local_dim=128,
        local_size=local_size,
        global_dim=global_dim,
    )


def _then_block(layers: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict[str, nn.Module](strided=layers, block=BasicBlock(channels)))
