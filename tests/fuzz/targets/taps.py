"""Taps on encoders of every kind, and the extraction of features from data of every kind."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fuzz.oracle import Finding, attempt, is_plain
from fuzz.source import Source
from fuzz.values import integers, option, size, tensor
from infomax import tap
from infomax.evaluation import extract_features
from infomax.features import feature_shapes, taps


class Sequence(nn.Module):
    """An encoder of sequences (N, 3, 4): its recurrent layer returns a tuple, the encoder itself a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        _states, last = self.rnn(x)
        return self.head(last[0])


class Twice(nn.Module):
    """An encoder with a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 3, 1), nn.Sequential(nn.Flatten(), nn.LazyLinear(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.body(x)))


class Skipping(nn.Module):
    """An encoder with a layer that never runs, one whose output is overwritten, and one that returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.body, self.words = nn.Linear(2, 2), nn.Conv2d(3, 4, 1), Words()

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        self.words(y)
        return y.relu_().mean((2, 3))


class Words(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "words"


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    )


_ENCODERS: list[Any] = [_convolutional, Sequence, Twice, Skipping]
_LAYERS = [
    "0",
    "2",
    "rnn",
    "head",
    "body",
    "",
    "1",
    "2.2",
    "idle",
    "words",
    "bodi",
    "rnn[0]",
    "head[0]",
    "0[1]",
    "[",
    "0.",
]
_LAYERS += ["é", "2..1", "rnn[-1]", "rnn[99]", "rnn[x]"]


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    kind = source.choice(_ENCODERS)
    encoder = option(source, [kind()], [None, "resnet", 3, kind, lambda x: x])
    if source.below(4) == 3:
        _taps(source, encoder, kind)
    elif source.below(2):
        _extract(source, encoder, kind)
    else:
        _tap(source, encoder, kind)


def _layer(source: Source) -> Any:
    return option(source, _LAYERS, [None, 3, 1.5, b"0", ["0"], ("0", "1")])


def _input(source: Source, kind: Any) -> Any:
    shape = (source.choice([2, 1, 0]), 3, 4) if kind is Sequence else (source.choice([2, 1, 0]), 3, 3, 3)
    return tensor(source, shape)


def _tap(source: Source, encoder: Any, kind: Any) -> None:
    layout = option(
        source, [None, "NPC", "NHWC", "NCHW"], ["BNC", "", "NC", "NCCC", 3, "N P C", "nchw", ["N", "P", "C"]]
    )
    features = attempt(tap, encoder, local=_layer(source), global_=_layer(source), local_layout=layout, names=_NAMES)
    given = _input(source, kind)
    if not isinstance(given, Tensor) or given.ndim != (3 if kind is Sequence else 4) or given.dtype != torch.float32:
        return  # the encoder may raise its own error
    if given.layout != torch.strided or given.is_meta or given.numel() == 0 or given.shape[1:] != _plain(kind):
        return
    outputs = None
    with _encoders_own():
        outputs = attempt(features, given, names=_NAMES, also=(RuntimeError,))
    if outputs is None:
        return
    local, global_ = outputs
    if local.requires_grad and global_.requires_grad:
        attempt(lambda: (local.sum() + global_.sum()).backward())
    if source.below(2):
        attempt(feature_shapes, features, given, names=_NAMES)


def _plain(kind: Any) -> tuple[int, ...]:
    return (3, 4) if kind is Sequence else (3, 3, 3)


_NAMES = (
    "encoder",
    "local",
    "global_",
    "layers",
    "features",
    "layer",
    "local_layout",
    "data",
    "images",
    "labels",
    "index",
)


def _taps(source: Source, encoder: Any, kind: Any) -> None:
    plain: list[Any] = [[_layer(source)], [_layer(source), _layer(source)], {"a": _layer(source)}, _layer(source)]
    outputs = attempt(
        taps, encoder, option(source, plain, [None, 3, [], {}, {3: "0"}, [[]], {"a": None}]), names=_NAMES
    )
    given = torch.rand(2, *_plain(kind))
    attempt(outputs, given, names=_NAMES, also=(RuntimeError,))


def _extract(source: Source, encoder: Any, kind: Any) -> None:
    n = source.choice([5, 2, 1, 0])
    images = tensor(source, (n, *_plain(kind)), gradient=False)
    labels = integers(source, n, 3)
    data: Any = _data(source, images, labels)
    layers: Any = option(source, [["0"], ["2"], ["head"], ["rnn"], {"y": ""}, "0"], [None, [], {}, 3, ["nothing"], [3]])
    options = {"batch_size": size(source, (256, 2, 1))} if source.rarely() else {}
    if source.rarely():
        options["device"] = source.choice(["cpu", "meta", "gpu", None])
    if source.rarely():
        options["transform"] = source.choice([lambda x: x.float() / 255, lambda x: None, lambda x: x[:1], 3])
    with _encoders_own():
        attempt(
            extract_features,
            encoder,
            data,
            layers,
            names=_NAMES,
            beside=(images, labels),
            also=(RuntimeError,),
            **options,
        )


def _data(source: Source, images: Any, labels: Any) -> Any:
    kind = source.below(8)
    if kind == 1:
        return images
    if kind == 2:
        return [(images, labels), (images, labels)]
    if kind == 3:
        return iter([(images, labels)])
    fit = is_plain(images) and is_plain(labels) and images.ndim and labels.ndim and len(images) == len(labels)
    if kind == 4 and fit:
        return DataLoader(TensorDataset(images, labels), batch_size=2)
    if kind == 5:
        return option(
            source, [[images]], [None, 3, "folder", [], {}, iter([]), np.ones((2, 3)), [None], [(1, 2)], [((),)]]
        )
    if kind == 6:
        return (images, labels, labels)
    if kind == 7:
        return ((images,) for _ in range(2))
    return (images, labels)


@contextmanager
def _encoders_own() -> Iterator[None]:
    """Ignore errors that the encoder itself raises for images that it cannot process."""
    try:
        yield
    except Finding as finding:
        if finding.__cause__ is None:
            raise
        files = [frame.filename for frame in traceback.extract_tb(finding.__cause__.__traceback__)]
        if "infomax" in files[-1] or not any(file.endswith("recorder.py") for file in files):
            raise
