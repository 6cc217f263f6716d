"""The paper's encoders, and the classes that build other encoders."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from fuzz.oracle import attempt
from fuzz.source import Source
from fuzz.values import INTEGERS, option, size, tensor
from infomax import encoders
from infomax.encoders import Conv, ConvEncoder, StridedCrops

_NAMES = (
    "local",
    "conv",
    "fc",
    "input_size",
    "input_channels",
    "global_dim",
    "globals_",
    "name",
    "images",
    "crop_size",
)
_NAMES += ("stride", "encoder", "channels", "kernel", "padding", "pool")


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    source.choice([_convolutional, _crops, _named])(source)


def _layer(source: Source) -> Any:
    options = [size(source, (4, 2)), size(source, (3, 1, 2)), size(source, (1, 2)), option(source, [1, 0], INTEGERS)]
    pool = (
        option(source, [None, (2, 2), (3, 2)], [2, (0, 2), (2, 0), (2.5, 2), "22", (2,)]) if source.rarely() else None
    )
    return Conv(*options[: 1 + source.below(4)], **({} if pool is None else {"pool": pool}))


def _convolutional(source: Source) -> None:
    def layers(most: int) -> Any:
        made = [_layer(source) for _ in range(source.choice([1, 2, 0]) % (most + 1))]
        return option(source, [made], [None, 3, "conv", [3], [nn.Conv2d(3, 3, 1)], [None]])

    local, conv = layers(2), layers(1)
    made = partial(
        ConvEncoder,
        local=local,
        conv=conv,
        fc=option(source, [(4,), [3, 2]], [(), None, 4, (0,), (2.5,), "44", (10**20,), ("4",)]),
        input_size=option(
            source, [6, (6, 5), [4, 4]], [*INTEGERS, (6,), (6, 6, 6), (0, 6), "66", (2.5, 2), (10**20, 3)]
        ),
        input_channels=size(source, (3, 1)),
        global_dim=size(source, (2, 4)),
    )
    encoder = attempt(made, names=_NAMES)
    if source.rarely():
        encoder.eval()
    images = tensor(source, (source.choice([2, 3, 1, 0]), encoder.input_channels, *encoder.input_size))
    local_map, global_ = attempt(encoder, images, names=_NAMES)
    if global_.requires_grad and not global_.is_meta:
        attempt(lambda: (local_map.sum() + global_.sum()).backward())


def _crops(source: Source) -> None:
    inner = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 2, 2))
    inner = option(source, [inner], [None, 3, nn.Identity(), nn.Flatten(0), lambda x: x, nn.Flatten])
    crops = attempt(StridedCrops, inner, size(source, (2,)), option(source, [None, 1, 2], INTEGERS))
    side = source.choice([4, 2, 3, 5, 1, 0])
    images = tensor(source, (source.choice([2, 1, 0]), 3, *[side] * source.choice([2, 1, 0, 3])))
    fits = isinstance(images, torch.Tensor) and images.ndim == 4 and images.dtype == torch.float32
    fits = fits and images.layout == torch.strided and images.shape[1] == 3 and not images.is_meta
    if not fits or not isinstance(inner, nn.Sequential) or crops.crop_size != 2:
        return  # the inner encoder may raise its own error
    attempt(crops, images, names=_NAMES)


def _named(source: Source) -> None:
    name = option(source, ["conv28", "conv32"], ["conv", None, 3, "", "Conv32", "alexnet", "resnet32-crops2"])
    options: dict[str, Any] = {"input_channels": option(source, [None, 1], [0, -1, "3", 1.5, 10**20, True])}
    if source.rarely():
        options["globals_"] = source.choice(["one", "many", None, 3, "two"])
    attempt(encoders.build, name, global_dim=size(source, (4, 2)), **options, names=_NAMES)
