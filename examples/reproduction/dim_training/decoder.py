"""A decoder that mirrors an encoder, from `y` back to an image, for baselines that reconstruct or generate."""

import math
from collections.abc import Iterator

from torch import nn

from infomax.encoders import ConvEncoder

from .errors import BadInput


class Decoder(nn.Sequential):
    """The layers of ``encoder`` in reverse: `y` (n, d) to images (n, C, H, W) in [-1, 1].

    Every convolution becomes a transposed convolution with the same kernel and stride, and every pooling becomes an
    upsampling. Batch norm and ReLU follow each layer but the last, which tanh follows.
    """

    def __init__(self, encoder: ConvEncoder) -> None:
        stages = list(convolutions(encoder))
        sizes = [encoder.input_size]
        for conv, pool in stages:
            sizes.append(_shrunk(sizes[-1], conv))
            if pool is not None:
                sizes.append(_shrunk(sizes[-1], pool))
        map_size = sizes.pop()
        layers: list[nn.Module] = []
        width = encoder.global_dim
        for linear in reversed([layer for layer in encoder.fc.modules() if isinstance(layer, nn.Linear)]):
            layers += [
                nn.Linear(width, linear.out_features, bias=False),
                nn.BatchNorm1d(linear.out_features),
                nn.ReLU(),
            ]
            width = linear.out_features
        channels = stages[-1][0].out_channels
        flat = channels * math.prod(map_size)
        layers += [nn.Linear(width, flat, bias=False), nn.BatchNorm1d(flat), nn.ReLU()]
        layers.append(nn.Unflatten(1, (channels, *map_size)))
        came = map_size
        for conv, pool in reversed(stages):
            if pool is not None:
                came = sizes.pop()
                layers.append(nn.Upsample(came))
            wanted = sizes.pop()
            layers.append(_transposed(conv, came, wanted, bias=not sizes))
            layers += [nn.BatchNorm2d(conv.in_channels), nn.ReLU()] if sizes else [nn.Tanh()]
            came = wanted
        super().__init__(*layers)


def convolutions(encoder: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.MaxPool2d | None]]:
    """Yield each convolution of ``encoder`` with the pooling after it, or None, from first to last."""
    if not isinstance(encoder, ConvEncoder):
        raise BadInput(
            f"--encoder: expected one of plain convolutions, which can be mirrored, for this objective; got "
            f"{type(encoder).__name__}: pass conv28, conv32, conv64 or alexnet64"
        )
    for part in (encoder.local, encoder.conv):
        for stage in part.children():
            yield stage.conv, getattr(stage, "pool", None)


def _shrunk(size: tuple[int, int], layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int]:
    kernel, stride, padding = _square(layer)
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


def _transposed(conv: nn.Conv2d, came: tuple[int, int], wanted: tuple[int, int], *, bias: bool) -> nn.ConvTranspose2d:
    kernel, stride, padding = _square(conv)
    # A strided convolution maps several sizes to one. The output padding says which of these sizes to return to.
    missing = [w - ((c - 1) * stride - 2 * padding + kernel) for c, w in zip(came, wanted, strict=True)]
    return nn.ConvTranspose2d(
        conv.out_channels, conv.in_channels, kernel, stride, padding, output_padding=(missing[0], missing[1]), bias=bias
    )


def _square(layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, ...]:
    return tuple(v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride, layer.padding))
