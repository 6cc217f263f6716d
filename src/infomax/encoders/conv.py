"""A plain convolutional encoder, cut where Deep InfoMax takes its features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from infomax._checks import check_floating, check_positive, shape_of
from infomax.features.types import Features

__all__ = ["Conv", "ConvEncoder"]


class Conv(NamedTuple):
    """One convolutional layer: convolution, batch norm, ReLU and perhaps max pooling.

    Args:
        channels: output channels.
        kernel: side of the square kernel, pixels.
        stride: stride, pixels.
        padding: zero padding on each side, pixels.
        pool: ``(kernel, stride)`` of a max pooling after the ReLU, or None.

    Example:
        >>> Conv(64, kernel=4, stride=2, padding=1)
        Conv(channels=64, kernel=4, stride=2, padding=1, pool=None)
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: tuple[int, int] | None = None


class ConvEncoder(nn.Module):
    r"""Convolutions, then fully connected layers, then a linear output `y`.

    .. math:: y = W\,\mathrm{fc}(\mathrm{conv}(\mathrm{local}(x))) + b

    Four named submodules say where features may be read, by `infomax.features.tap` or the evaluation:
    ``local`` (the local map), ``conv`` (the last convolution), ``fc`` (the last hidden layer) and ``y``.
    Every layer but `y` ends in batch norm and ReLU; a layer before a batch norm has no bias, which would be
    cancelled. Take the paper's encoders (`conv28`, `conv32`, `conv64`, `alexnet64`) where they fit, and this
    class for other image sizes.

    Args:
        local: layers up to the local map, at least one.
        conv: layers from the local map to the last convolution; empty when the local map is the last one, and
            then ``conv`` is the identity.
        fc: widths of the hidden fully connected layers, at least one.
        input_size: height and width of the images, pixels; one number for a square.
        input_channels: channels of the images.
        global_dim: width d of `y`.

    Attributes:
        local_dim: channels c of the local map.
        local_size: spatial size ``(h, w)`` of the local map.
        global_dim: width d of `y`.
        input_size: ``(height, width)`` of the images.
        input_channels: channels of the images.

    Returns:
        `Features`: ``local`` (N, c, h, w) and ``global_`` (N, d), in the dtype of the weights (or of
        autocast). The local map is channels_last when the images or the weights are. No unit.

    Raises:
        ValueError: layers that do not fit the image; images of another rank, size or device; one image while
            training (batch norm needs two).
        TypeError: images that are not floating point.

    Numerics:
        As its layers. Safe under autocast; `torch.compile(fullgraph=True)` finds one graph.

    Source:
        Hjelm et al., ICLR 2019, appendix on architectures. Weights start as PyTorch's defaults.

    Example:
        >>> import torch
        >>> encoder = ConvEncoder(local=[Conv(16, 3, 1, 1)], conv=[Conv(32, 4, 2, 1)], fc=[64],
        ...                       input_size=8, input_channels=1, global_dim=16)
        >>> local, global_ = encoder(torch.rand(4, 1, 8, 8))
        >>> tuple(local.shape), tuple(global_.shape)
        ((4, 16, 8, 8), (4, 16))
    """

    def __init__(
        self,
        *,
        local: Sequence[Conv],
        conv: Sequence[Conv] = (),
        fc: Sequence[int] = (1024,),
        input_size: int | tuple[int, int],
        input_channels: int = 3,
        global_dim: int = 64,
    ) -> None:
        super().__init__()
        size = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
        if len(size) != 2:
            raise ValueError(f"input_size must be one number or (height, width), got {input_size!r}")
        for side in size:
            check_positive("input_size", side)
        check_positive("input_channels", input_channels)
        check_positive("global_dim", global_dim)
        if not local:
            raise ValueError("local must hold at least one layer: its last one gives the local map")
        if not fc or min(fc) < 1:
            raise ValueError(f"fc must hold at least one width, each at least 1, got {list(fc)}")

        self.input_size: tuple[int, int] = size
        self.input_channels = input_channels
        self.global_dim = global_dim
        self.local_dim = local[-1].channels

        self.local, self.local_size = _convolutions(local, input_channels, size, first=1)
        self.conv, last_size = _convolutions(conv, self.local_dim, self.local_size, first=len(local) + 1)
        flat = (conv or local)[-1].channels * last_size[0] * last_size[1]
        self.fc = _fully_connected(fc, flat)
        self.y = nn.Linear(fc[-1], global_dim)

    def forward(self, images: Tensor) -> Features:
        """Local map (N, c, h, w) and `y` (N, d) of images (N, C, H, W)."""
        self._check(images)
        local = self.local(images)
        return Features(local, self.y(self.fc(self.conv(local))))

    def extra_repr(self) -> str:
        """Sizes, for `repr`."""
        return (
            f"input_size={self.input_size}, input_channels={self.input_channels}, "
            f"local_dim={self.local_dim}, local_size={self.local_size}, global_dim={self.global_dim}"
        )

    def _check(self, images: Tensor) -> None:
        check_floating("images", images)
        shape = (self.input_channels, *self.input_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"images must have shape (N, {', '.join(map(str, shape))}), got {shape_of(images)}; resize or "
                "crop them, or build an encoder for that size and number of channels"
            )
        if images.device != self.y.weight.device:
            raise ValueError(f"images must be on the encoder's device, {self.y.weight.device}, got {images.device}")
        if images.shape[0] == 0:
            raise ValueError("images must hold at least one example, got 0")
        if self.training and images.shape[0] == 1:
            raise ValueError(
                "images must hold at least two examples while training, since batch norm compares them, "
                "got 1; for a single image call encoder.eval() first"
            )


def _convolutions(
    layers: Sequence[Conv], channels: int, size: tuple[int, int], first: int
) -> tuple[nn.Module, tuple[int, int]]:
    """Named layers ``conv{first}``, ...; and the spatial size that comes out."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for number, layer in enumerate(layers, start=first):
        block: OrderedDict[str, nn.Module] = OrderedDict()
        block["conv"] = nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding, bias=False)
        block["norm"] = nn.BatchNorm2d(layer.channels)
        block["activation"] = nn.ReLU()
        came = size
        size = _shrink(size, layer.kernel, layer.stride, layer.padding)
        if layer.pool is not None:
            block["pool"] = nn.MaxPool2d(*layer.pool)
            size = _shrink(size, *layer.pool, 0)
        if min(size) < 1:
            raise ValueError(f"layer conv{number} = {layer} leaves nothing of a {came[0]}x{came[1]} map")
        stages[f"conv{number}"] = nn.Sequential(block)
        channels = layer.channels
    return (nn.Sequential(stages) if stages else nn.Identity()), size


def _shrink(size: tuple[int, int], kernel: int, stride: int, padding: int) -> tuple[int, int]:
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def _fully_connected(widths: Sequence[int], flat: int) -> nn.Sequential:
    stages: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, width in enumerate(widths, start=1):
        stages[f"fc{number}"] = nn.Sequential(
            OrderedDict[str, nn.Module](
                linear=nn.Linear(flat, width, bias=False), norm=nn.BatchNorm1d(width), activation=nn.ReLU()
            )
        )
        flat = width
    return nn.Sequential(stages)
