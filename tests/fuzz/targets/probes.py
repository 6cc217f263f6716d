"""Measures of a representation: probes, neighbours, dependency, similarity."""

from __future__ import annotations

from typing import Any

import torch

from fuzz.oracle import Finding, attempt, is_plain
from fuzz.source import Source
from fuzz.values import INTEGERS, NUMBERS, integers, number, option, size, tensor
from infomax import evaluation as ev


def run(source: Source) -> None:
    source.choice([_probe, _neighbours, _dependency, _similarity, _standardise])(source)


def _features(source: Source, rows: int, width: int = 3) -> Any:
    return tensor(source, (rows, width), source.likely(torch.float32, [torch.float64, torch.float16, torch.bfloat16]))


_NAMES = ("train_features", "train_labels", "test_features", "test_labels", "random_state", "C", "choose_on")


def _probe(source: Source) -> None:
    n, m, width = source.choice([12, 6, 2, 1, 0]), source.choice([6, 1, 0]), source.choice([3, 1, 0])
    classes = source.choice([3, 2, 1])
    data = (
        _features(source, n, width),
        integers(source, n, classes),
        _features(source, m, width),
        integers(source, m, classes),
    )
    options: dict[str, Any] = {"random_state": option(source, [0, None], [*INTEGERS, torch.Generator(), "seed"])}
    kind = source.choice(["linear", "mlp", "knn", "svm"])
    if kind == "svm":
        options["C"] = option(
            source, [1.0, (0.1, 1.0), [10]], [*NUMBERS, (), [None], [-1], "1", (10**400,), (float("inf"),)]
        )
        if source.rarely():
            options["choose_on"] = size(source, (5, 2, 1))
        call = ev.svm_probe
    elif kind == "knn":
        options["k"] = size(source, (1, 3, 20))
        options["metric"] = option(source, ["cosine", "l1", "l2"], ["l3", None, 3])
        call = ev.knn_probe
    else:
        options["epochs"] = size(source, (1, 2))
        options["batch_size"] = size(source, (4, 100))
        options["lr"] = number(source, (1e-2,))
        options["weight_decay"] = number(source, (0.0, 1e-2))
        if kind == "mlp":
            options["hidden"] = size(source, (4,))
            options["dropout"] = number(source, (0.0, 0.1, 0.5))
        call = ev.linear_probe if kind == "linear" else ev.mlp_probe
    accuracy = attempt(call, *data, **options, names=(*_NAMES, *options, "k", "reference", "query"))
    if not 0 <= accuracy <= 1:
        raise Finding(f"an accuracy of {accuracy}")


def _neighbours(source: Source) -> None:
    width = source.choice([3, 1, 0])
    query, reference = (_features(source, source.choice([5, 1, 0]), width) for _ in range(2))
    options = {"k": size(source, (1, 3)), "metric": option(source, ["cosine", "l1", "l2"], ["l3", None, 3])}
    if source.rarely():
        options["exclude_self"] = source.choice([True, False, None, 1])
    attempt(ev.nearest_neighbours, query, reference, **options, names=("query", "reference", *options))


def _dependency(source: Source) -> None:
    train, test = (
        _features(source, source.choice([12, 30, 3, 1, 0]), 2),
        _features(source, source.choice([6, 2, 1, 0]), 2),
    )
    options = {
        "hidden": option(source, [(3,), (2, 2)], [(), 3, None, (0,), (10**20,), (1.5,), "33"]),
        "epochs": size(source, (1, 2)),
        "lr": number(source, (1e-2,)),
        "batch_size": size(source, (8, 100, 2)),
        "weight_decay": number(source, (0.0, 1e-3)),
        "shuffles": size(source, (1, 2)),
        "random_state": option(source, [0, None], [*INTEGERS, torch.Generator()]),
    }
    attempt(ev.neural_dependency, train, test, **options, names=("train_features", "test_features", *options))


def _similarity(source: Source) -> None:
    side = source.choice([11, 22, 10, 12, 0, 1])
    shape = (source.choice([2, 1, 0]), source.choice([1, 3, 0]), side, source.choice([side, 11, 13]))
    images, reference = (_bounded(source, tensor(source, shape)) for _ in range(2))
    attempt(ev.ms_ssim, images, reference)


def _bounded(source: Source, images: Any) -> Any:
    floats = is_plain(images) and images.is_floating_point() and images.dtype.itemsize > 1
    return images.sigmoid() if floats and not source.rarely() else images


def _standardise(source: Source) -> None:
    features = _features(source, source.choice([4, 1, 2, 0]))
    if source.below(2):
        made = attempt(ev.Standardise, features)
        if isinstance(features, torch.Tensor) and features.ndim == 2:
            attempt(made, features, names=("features",))
    else:
        attempt(ev.shuffled_units, features)
