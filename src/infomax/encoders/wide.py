"""An encoder of this library's own: the paper's encoder for 32x32 images, twice as wide."""

from __future__ import annotations

from infomax.encoders.conv import ConvEncoder
from infomax.encoders.paper import three_halvings

__all__ = ["wide32"]


def wide32(*, input_channels: int = 3, global_dim: int = 64) -> ConvEncoder:
    """Build `conv32` with twice the channels, for 32x32 images.

    The layers are three 4x4 convolutions of stride 2 (128, 256, 512 channels), one hidden layer of 1024, and `y`. The
    local map is the output of the second convolution, (256, 8, 8); ``conv`` is (512, 4, 4). Encoding an image takes 3.5
    times as many multiplications as with `conv32`.

    Args:
        input_channels: channels C of the images (N, C, 32, 32).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        This library. The layers follow Hjelm et al., ICLR 2019, appendix on architectures, CIFAR.

    Example:
        >>> import torch
        >>> encoder = wide32()
        >>> local, global_ = encoder(torch.rand(2, 3, 32, 32))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 256, 8, 8), (2, 64))
    """
    return three_halvings(128, input_channels, global_dim)
