"""Evaluating an encoder with several probes in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral
from typing import Protocol

import torch
from torch import Tensor, nn

from infomax._checks import check_choice
from infomax._precision import device_of
from infomax._random import RandomState, as_generator
from infomax.evaluation.extract import Data, Progress, extract_features, titled
from infomax.evaluation.probes.linear import linear_probe
from infomax.evaluation.probes.mlp import mlp_probe
from infomax.evaluation.probes.neighbours import knn_probe
from infomax.evaluation.probes.svm import svm_probe
from infomax.evaluation.table import ProbeRow, ProbeTable

__all__ = ["Probe", "evaluate"]


class Probe(Protocol):
    """A function that `evaluate` calls with features and labels, and that returns the accuracy on the test set.

    Features are (N, D), and labels are class numbers (N,), both of a training set and of a test set.

    Example:
        >>> def majority(train_features, train_labels, test_features, test_labels, /, *, random_state, progress):
        ...     return float((test_labels == train_labels.mode().values).float().mean())
        >>> encoder, images = torch.nn.Sequential(torch.nn.Flatten()), torch.rand(10, 1, 2, 2)
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
        >>> table = evaluate(encoder, (images, labels), (images, labels), layers=["0"], probes={"majority": majority})
        >>> table.rows[0].accuracy
        0.6...
    """

    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        /,
        *,
        random_state: RandomState,
        progress: Progress | None,
    ) -> float:
        """Return the accuracy on the test set, between 0 and 1."""
        ...


_PROBES: dict[str, Probe] = {"mlp": mlp_probe, "linear": linear_probe, "knn": knn_probe, "svm": svm_probe}


def evaluate(
    encoder: nn.Module,
    train: Data,
    test: Data,
    *,
    layers: Sequence[str] | Mapping[str, str] = ("conv", "fc", "y"),
    probes: Sequence[str] | Mapping[str, Probe] = ("mlp", "linear", "knn"),
    random_state: RandomState = 0,
    name: str = "",
    batch_size: int = 512,
    device: torch.device | str | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> ProbeTable:
    """Measure how accurately probes classify images from the layers of a frozen encoder.

    The features of each layer are computed once, and every probe is trained and tested on them. The encoder is left
    unchanged. Each accuracy depends on the seed, but not on the other layers and probes of the call.

    Args:
        encoder: any `nn.Module`.
        train: images and labels to train the probes on: a pair of tensors, or a `DataLoader`.
        test: images and labels to test the probes on.
        layers: names of layers as for `infomax.features.tap` (an empty name for the encoder's output), or a mapping
            from names of your choice to such names. The default fits `infomax.encoders`.
        probes: ``"mlp"`` (the paper's, with 200 hidden units), ``"linear"``, ``"knn"`` and ``"svm"`` (the paper's
            linear SVM, with scikit-learn); or a mapping from names of your choice to probes, for instance
            ``{"mlp, 50 epochs": partial(mlp_probe, epochs=50)}``.
        random_state: an integer that seeds the probes' weights, dropout and order of examples, and that the table
            reports as ``seed``; with a generator, or None for torch's global one, that integer is drawn.
        name: the name of the encoder in the table.
        batch_size: images per call of the encoder, where the data are tensors.
        device: the device of the images and the probes; the encoder's own device when None. The encoder is not moved.
        transform: a function applied to each batch of images first, as in `extract_features`.
        progress: called with ``"train features"``, ``"conv mlp"``, ..., the steps done and the total number of steps.

    Returns:
        `ProbeTable`; print it, or read its ``rows``.

    Raises:
        TypeError: as in `extract_features`; or a probe is not callable.
        ImportError: the probe ``"svm"`` is chosen without scikit-learn.
        ValueError: a probe or layer is unknown, there are no labels, the training set has only one class, or features
            are not finite.

    Numerics:
        Features and probes are float32. The same seed gives the same table on the same device with the same number of
        threads.

    Source:
        Hjelm et al., ICLR 2019, section 4.1; the documentation of each probe names its own source.

    Example:
        >>> from infomax import encoders
        >>> encoder = encoders.conv32()
        >>> images, labels = torch.rand(64, 3, 32, 32), torch.arange(64) % 2
        >>> table = evaluate(encoder, (images, labels), (images, labels), layers=["y"], probes=["linear", "knn"])
        >>> [(row.probe, row.layer, row.width) for row in table.rows]
        [('linear', 'y', 64), ('knn', 'y', 64)]
    """
    chosen, seed = _choose(probes), _seed(random_state)
    if device is None:
        device = device_of(encoder)
    sets = []
    for title, data in (("train", train), ("test", test)):
        features, labels = extract_features(
            encoder,
            data,
            layers,
            batch_size=batch_size,
            device=device,
            transform=transform,
            progress=titled(progress, f"{title} features"),
        )
        if labels is None:
            raise ValueError(f"{title} must hold labels: a pair (images, labels), or a DataLoader of such pairs")
        sets.append((features, labels))
    (train_features, train_labels), (test_features, test_labels) = sets
    rows = []
    for layer in list(train_features):
        # Popping frees the features of a layer once its probes are done.
        ours, theirs = train_features.pop(layer).to(device), test_features.pop(layer).to(device)
        for title, probe in chosen.items():
            accuracy = probe(
                ours,
                train_labels.to(device),
                theirs,
                test_labels.to(device),
                random_state=seed,
                progress=titled(progress, f"{layer} {title}"),
            )
            rows.append(ProbeRow(name, title, layer, ours.shape[1], float(accuracy), seed))
    return ProbeTable(rows)


def _choose(probes: Sequence[str] | Mapping[str, Probe]) -> dict[str, Probe]:
    if not isinstance(probes, Collection):
        raise TypeError(f"probes must be names or functions by name, got {type(probes).__name__}")
    if not probes:
        raise ValueError(f"probes must name at least one of {', '.join(_PROBES)}, got none")
    if isinstance(probes, Mapping):
        for title, function in probes.items():
            if not callable(function):
                raise TypeError(f"probes must be functions by name, got {type(function).__name__} for {title!r}")
        return dict(probes)
    for probe in [probes] if isinstance(probes, str) else probes:
        check_choice("probes", probe, _PROBES)
    return {probe: _PROBES[probe] for probe in ([probes] if isinstance(probes, str) else probes)}


def _seed(random_state: RandomState) -> int:
    generator = as_generator(random_state)  # also checks ``random_state``
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(torch.randint(2**62, (), generator=generator, device="cpu"))
