"""The paper's strided-crop encoders, with one global feature or several."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from infomax._checks import check_choice, check_positive
from infomax.encoders.crops import StridedCrops
from infomax.encoders.layers import Conv, convolutions, fully_connected
from infomax.encoders.residual import Bottleneck, Residual, residual_layers
from infomax.encoders.staged import StagedEncoder

__all__ = ["GLOBALS", "alexnet64_crops", "resnet32_crops"]

GLOBALS = ("one", "many")
"""Values of ``globals_``: one global feature per image, or a map of several."""

_RESNET19 = (Residual(64), Residual(64), Residual(128, 2), Residual(128), Residual(256, 2), Residual(256))
_ALEXNET = (Conv(96, pool=(3, 2)), Conv(192, pool=(3, 2)), Conv(384), Conv(384), Conv(192, pool=(3, 2)))


def resnet32_crops(*, input_channels: int = 3, global_dim: int = 64, globals_: str = "one") -> StagedEncoder:
    r"""The paper's strided-crop encoder for 32x32 images (CIFAR): a ResNet-19 on crops of 8x8.

    The image is cut into a 7x7 grid of crops, 4 pixels apart. A 3x3 convolution of stride 2 (64 channels) and six
    bottleneck blocks (widths 64, 64, 128, 128, 256, 256, each with four times as many output channels; the third and
    fifth of stride 2) reduce each crop to one vector. The local map, (1024, 7, 7), is the grid of these vectors;
    ``conv`` is the same map.

    With one global, ``fc`` is a hidden layer of 1024 on the flattened grid and `y` is linear. With many, ``fc`` is a
    3x3 convolution of the grid, (1024, 5, 5), and `y` is a 1x1 convolution of ``fc``, (d, 5, 5): 25 globals, each of
    which sees 3x3 crops, a quarter of the image.

    Args:
        input_channels: channels C of the images (N, C, 32, 32).
        global_dim: width d of each global.
        globals_: ``"one"`` or ``"many"``.

    Returns:
        A `StagedEncoder`.

    Raises:
        ValueError: a size is below 1, or ``globals_`` is another word.

    Source:
        Hjelm et al., ICLR 2019, section 4.2 and appendix on architectures. The authors' code has this network and one
        of 34 layers. The only network with several globals in that code is the AlexNet; ``globals_="many"`` follows it.

    Example:
        >>> encoder = resnet32_crops(globals_="many")
        >>> local, global_ = encoder(torch.rand(2, 3, 32, 32))
        >>> tuple(local.shape), tuple(global_.shape)
        ((2, 1024, 7, 7), (2, 64, 5, 5))
    """
    _check(input_channels, global_dim, globals_)
    stem, _ = convolutions([Conv(64, 3, 2, 1)], input_channels, (8, 8))
    blocks = OrderedDict[str, nn.Module](stem=stem, **residual_layers(_RESNET19, 64))
    crops = StridedCrops(nn.Sequential(blocks), crop_size=8)
    width = Bottleneck.expansion * _RESNET19[-1].width
    if globals_ == "many":
        return _staged(crops, width, *_several(width, global_dim), 32, input_channels, global_dim)
    fc, y = fully_connected([1024], width * 7 * 7), nn.Linear(1024, global_dim)
    return _staged(crops, width, fc, y, 32, input_channels, global_dim)


def alexnet64_crops(*, input_channels: int = 3, global_dim: int = 64, globals_: str = "one") -> StagedEncoder:
    r"""The paper's strided-crop encoder for 64x64 images (STL-10): an AlexNet on crops of 16x16.

    The image is cut into a 7x7 grid of crops, 8 pixels apart. The five convolutions of `alexnet64` reduce each crop to
    one vector. The local map, (192, 7, 7), is the grid of these vectors; ``conv`` is the same map.

    With one global, ``fc`` is a 3x3 convolution of stride 2 on the grid (384 channels, 3x3 locations) followed by a
    hidden layer of 4096, and `y` is linear. With many, ``fc`` is a 3x3 convolution of the grid, (192, 5, 5), and `y` is
    a 1x1 convolution of ``fc``, (d, 5, 5): 25 globals, each of which sees 3x3 crops, a quarter of the image.

    Args:
        input_channels: channels C of the images (N, C, 64, 64).
        global_dim: width d of each global.
        globals_: ``"one"`` or ``"many"``.

    Returns:
        A `StagedEncoder`.

    Raises:
        ValueError: a size is below 1, or ``globals_`` is another word.

    Source:
        Hjelm et al., ICLR 2019, section 4.2 and appendix on architectures. The authors' code has dropout of 0.1 in
        ``fc`` and initialises the weights of the one-global network from a normal distribution of standard deviation
        0.02; here there is no dropout, and the initialisation is PyTorch's default. Their several globals are 192 wide,
        rectified and normalised; here `y` is linear, as in every other encoder.

    Example:
        >>> encoder = alexnet64_crops(globals_="many", global_dim=192)
        >>> encoder.local_dim, encoder.local_size, encoder.global_dim
        (192, (7, 7), 192)
    """
    _check(input_channels, global_dim, globals_)
    layers, _ = convolutions(_ALEXNET, input_channels, (16, 16))
    crops = StridedCrops(layers, crop_size=16)
    width = _ALEXNET[-1].channels
    if globals_ == "many":
        return _staged(crops, width, *_several(width, global_dim), 64, input_channels, global_dim)
    top, size = convolutions([Conv(384, 3, 2, 0)], width, (7, 7))
    fc = nn.Sequential(OrderedDict[str, nn.Module](top=top, hidden=fully_connected([4096], 384 * size[0] * size[1])))
    return _staged(crops, width, fc, nn.Linear(4096, global_dim), 64, input_channels, global_dim)


def _check(input_channels: int, global_dim: int, globals_: str) -> None:
    check_positive("input_channels", input_channels)
    check_positive("global_dim", global_dim)
    check_choice("globals_", globals_, GLOBALS)


def _several(width: int, global_dim: int) -> tuple[nn.Module, nn.Module]:
    """Return the stages ``fc`` and `y` of an encoder with many globals: two convolutions of the 7x7 grid."""
    fc, _ = convolutions([Conv(width, 3, 1, 0)], width, (7, 7))
    return fc, nn.Conv2d(width, global_dim, 1)


def _staged(
    crops: StridedCrops, width: int, fc: nn.Module, y: nn.Module, side: int, input_channels: int, global_dim: int
) -> StagedEncoder:
    rows, columns = crops.grid((side, side))
    return StagedEncoder(
        local=crops,
        conv=nn.Identity(),
        fc=fc,
        y=y,
        input_size=(side, side),
        input_channels=input_channels,
        local_dim=width,
        local_size=(rows, columns),
        global_dim=global_dim,
    )
