"""The encoders of the Deep InfoMax paper, each defined by a list of layers."""

from __future__ import annotations

from infomax.encoders.conv import ConvEncoder
from infomax.encoders.layers import Conv

__all__ = ["alexnet64", "conv28", "conv32", "conv64", "three_halvings"]


def conv28(*, input_channels: int = 1, global_dim: int = 64) -> ConvEncoder:
    """Build the paper's encoder for 28x28 images (MNIST, Fashion-MNIST), by default with one channel.

    The layers are two 5x5 convolutions of stride 2 (64, 128 channels), one hidden layer of 1024, and `y`. The local
    map, (128, 7, 7), is the output of the last convolution, so ``conv`` is the same map as ``local``.

    Args:
        input_channels: channels C of the images (N, C, 28, 28).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures; the 28-pixel network of the authors' code.

    Example:
        >>> encoder = conv28()
        >>> encoder.local_dim, encoder.local_size, encoder.global_dim
        (128, (7, 7), 64)
    """
    return ConvEncoder(
        local=[Conv(64, 5, 2, 2), Conv(128, 5, 2, 2)],
        fc=[1024],
        input_size=28,
        input_channels=input_channels,
        global_dim=global_dim,
    )


def conv32(*, input_channels: int = 3, global_dim: int = 64) -> ConvEncoder:
    """Build the paper's encoder for 32x32 images (CIFAR).

    The layers are three 4x4 convolutions of stride 2 (64, 128, 256 channels), one hidden layer of 1024, and `y`. The
    local map is the output of the second convolution, (128, 8, 8); ``conv`` is (256, 4, 4).

    Args:
        input_channels: channels C of the images (N, C, 32, 32).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures, CIFAR.

    Example:
        >>> import torch
        >>> encoder = conv32()
        >>> local, global_ = encoder(torch.rand(2, 3, 32, 32))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 128, 8, 8), (2, 64))
    """
    return three_halvings(64, input_channels, global_dim)


def three_halvings(channels: int, input_channels: int, global_dim: int) -> ConvEncoder:
    """Build an encoder of three 4x4 convolutions of stride 2, which double the channels, and a hidden layer of 1024."""
    return ConvEncoder(
        local=[Conv(channels, 4, 2, 1), Conv(2 * channels, 4, 2, 1)],
        conv=[Conv(4 * channels, 4, 2, 1)],
        fc=[1024],
        input_size=32,
        input_channels=input_channels,
        global_dim=global_dim,
    )


def conv64(*, input_channels: int = 3, global_dim: int = 64) -> ConvEncoder:
    """Build the paper's small encoder for 64x64 images (CelebA, Tiny ImageNet).

    The layers are four 4x4 convolutions of stride 2 (64, 128, 256, 512 channels), one hidden layer of 1024, and `y`.
    The local map is the output of the third convolution, (256, 8, 8); ``conv`` is (512, 4, 4).

    Args:
        input_channels: channels C of the images (N, C, 64, 64).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures.

    Example:
        >>> encoder = conv64()
        >>> encoder.local_dim, encoder.local_size
        (256, (8, 8))
    """
    return ConvEncoder(
        local=[Conv(64, 4, 2, 1), Conv(128, 4, 2, 1), Conv(256, 4, 2, 1)],
        conv=[Conv(512, 4, 2, 1)],
        fc=[1024],
        input_size=64,
        input_channels=input_channels,
        global_dim=global_dim,
    )


def alexnet64(*, input_channels: int = 3, global_dim: int = 64) -> ConvEncoder:
    """Build the paper's AlexNet-like encoder for 64x64 images (STL-10, Tiny ImageNet).

    The layers are five 3x3 convolutions (96, 192, 384, 384, 192 channels), with 3x3 max pooling of stride 2 after the
    first, second and fifth, two hidden layers of 4096, and `y`. The local map is the output of the third convolution,
    (384, 15, 15); ``conv`` is that of the fifth after pooling, (192, 7, 7); ``fc`` is the second hidden layer.

    Args:
        input_channels: channels C of the images (N, C, 64, 64).
        global_dim: width d of `y`.

    Returns:
        A `ConvEncoder`.

    Raises:
        ValueError: a size below 1.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures, STL-10.

    Example:
        >>> encoder = alexnet64()
        >>> encoder.local_dim, encoder.local_size
        (384, (15, 15))
    """
    return ConvEncoder(
        local=[Conv(96, pool=(3, 2)), Conv(192, pool=(3, 2)), Conv(384)],
        conv=[Conv(384), Conv(192, pool=(3, 2))],
        fc=[4096, 4096],
        input_size=64,
        input_channels=input_channels,
        global_dim=global_dim,
    )
