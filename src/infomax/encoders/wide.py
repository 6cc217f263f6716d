"""An encoder of this library: the paper's for 32 pixels, twice as wide."""

from __future__ import annotations

from infomax.encoders.conv import ConvEncoder
from infomax.encoders.paper import three_halvings

__all__ = ["wide32"]


def wide32(*, input_channels: int = 3, global_dim: int = 64) -> ConvEncoder:
    """`conv32` with twice the channels, for 32x32 images.

    Three 4x4 convolutions of stride 2 (128, 256, 512 channels), one hidden layer of 1024, `y`. The local map is the
    second convolution, (256, 8, 8); ``conv`` is (512, 4, 4). An image takes 3.5 times as many products as in `conv32`.

    Args:
        input_channels: channels C of the images (N, C, 32, 32).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Ours. The layers are those of Hjelm et al., ICLR 2019, appendix on architectures, CIFAR.

    Example:
        >>> import torch
        >>> encoder = wide32()
        >>> local, global_ = encoder(torch.rand(2, 3, 32, 32))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 256, 8, 8), (2, 64))
    """
    return three_halvings(128, input_channels, global_dim)
