"""Measures that train on images: evaluation by probes, fine-tuning, reconstruction, information of images."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import INTEGERS, integers, number, option, size, tensor
from infomax import evaluation as ev


def run(source: Source) -> None:
    torch.manual_seed(source.byte())
    source.choice([_evaluate, _tuned, _fine_tune, _reconstruction, _information])(source)


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 2), nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(images).mean((2, 3)))


_NAMES = ("train", "test", "data", "layer", "images", "labels", "features", "encoder", "transform", "classes")


def _images(source: Source, rows: int, side: int = 4) -> Any:
    return tensor(source, (rows, 1, side, side), gradient=False)


def _fits(images: Any) -> bool:
    """Return whether the small encoder takes the images; if not, its own error is not the library's."""
    fits = isinstance(images, torch.Tensor) and images.dtype == torch.float32 and images.layout == torch.strided
    return fits and not images.is_meta and images.ndim == 4 and images.shape[1] == 1 and min(images.shape[2:]) >= 2


def _random_state(source: Source) -> Any:
    return option(source, [0, None], [*INTEGERS, torch.Generator(), "seed"])


def _data(source: Source, rows: int, classes: int) -> Any:
    images, labels = _images(source, rows), integers(source, rows, classes)
    return option(source, [(images, labels)], [(images,), None, images, [images, labels], (images, None), {}])


def _evaluate(source: Source) -> None:
    train, test = (_data(source, source.choice([12, 6, 2, 1, 0]), 3) for _ in range(2))
    if not all(isinstance(part, tuple | list) and part and _fits(part[0]) for part in (train, test)):
        return
    options: dict[str, Any] = {
        "layers": option(source, [["fc"], {"map": "conv"}, ("conv", "")], ["fc", [], ["no"], None, [3], {}]),
        "probes": option(
            source, [["linear"], {"nearest": partial(ev.knn_probe, k=1)}], [[], ["no"], None, {"a": 3}, 3]
        ),
        "random_state": _random_state(source),
        "batch_size": size(source, (5, 100)),
    }
    # A layer that is not named, or whose output has no channels, is refused by names that only the user's encoder has.
    names = (*_NAMES, *options, "k", "query", "reference")
    table = attempt(ev.evaluate, _Small(), train, test, **options, names=names)
    if not all(0 <= row.accuracy <= 1 for row in table.rows):
        raise Finding(f"an accuracy out of range: {table}")


def _tuned(source: Source) -> None:
    probe = partial(ev.linear_probe, epochs=1)
    settings = option(source, [[{}], [{"lr": 0.1}, {"lr": 1e-3}], ({"weight_decay": 0.1},)], [[], None, {}, [3], "lr"])
    tuned = attempt(ev.TunedProbe, option(source, [probe], [None, "mlp", 3]), settings, validation=size(source, (3, 1)))
    n, m = source.choice([12, 6, 2, 1, 0]), source.choice([6, 1, 0])
    train = tensor(source, (n, 3)), integers(source, n, source.choice([3, 2, 1]))
    test = tensor(source, (m, 3)), integers(source, m, 3)
    names = ("train_features", "train_labels", "test_features", "test_labels", "validation")
    accuracy = attempt(tuned, *train, *test, random_state=_random_state(source), names=names)
    if not 0 <= accuracy <= 1:
        raise Finding(f"an accuracy of {accuracy}")


def _fine_tune(source: Source) -> None:
    train, test = (_data(source, source.choice([12, 6, 2, 1, 0]), 3) for _ in range(2))
    if not all(isinstance(part, tuple | list) and part and _fits(part[0]) for part in (train, test)):
        return
    options: dict[str, Any] = {
        "layer": option(source, ["conv", "fc", ""], ["no", None, 3, ["fc"]]),
        "from_scratch": bool(source.below(2)),
        "epochs": size(source, (1,)),
        "lr": number(source, (1e-2,)),
        "batch_size": size(source, (4, 100)),
        "weight_decay": number(source, (0.0, 1e-2)),
        "schedule": option(source, ["cosine", "step", "constant"], ["linear", None, 3]),
        "random_state": _random_state(source),
    }
    attempt(ev.fine_tune, _Small(), train, test, **options, names=(*_NAMES, *options))


def _reconstruction(source: Source) -> None:
    n, m = source.choice([12, 4, 2, 1, 0]), source.choice([3, 1, 0])
    side = source.choice([11, 12, 16, 8])
    given = _images(source, n, side), tensor(source, (n, 3)), _images(source, m, side), tensor(source, (m, 3))
    options: dict[str, Any] = {
        "value_range": option(source, [(-9.0, 9.0), (0, 1)], [(1, 0), (0, 0), None, 3, (0,), ("a", 1), (0, 10**400)]),
        "epochs": size(source, (1,)),
        "lr": number(source, (1e-2,)),
        "batch_size": size(source, (4, 100)),
        "keep": size(source, (2, 1)),
        "random_state": _random_state(source),
    }
    attempt(ev.reconstruction, *given, **options, names=(*_NAMES, *options), infinite=True)


def _information(source: Source) -> None:
    n, m = source.choice([12, 30, 2, 1, 0]), source.choice([6, 3, 1, 0])
    given = _images(source, n), tensor(source, (n, 3)), _images(source, m), tensor(source, (m, 3))
    options: dict[str, Any] = {
        "units": size(source, (4,)),
        "epochs": size(source, (1,)),
        "lr": number(source, (1e-2,)),
        "batch_size": size(source, (4, 100)),
        "weight_decay": number(source, (0.0, 1e-3)),
        "random_state": _random_state(source),
    }
    attempt(ev.image_information, *given, **options, names=(*_NAMES, *options))
