"""One call from an encoder to the table of its probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Protocol

import torch
from torch import Tensor, nn

from infomax._checks import check_choice
from infomax._random import RandomState, as_generator
from infomax.evaluation.extract import Data, Progress, extract_features
from infomax.evaluation.probes.linear import linear_probe
from infomax.evaluation.probes.mlp import mlp_probe
from infomax.evaluation.probes.neighbours import knn_probe
from infomax.evaluation.probes.svm import svm_probe
from infomax.evaluation.table import ProbeRow, ProbeTable

__all__ = ["Probe", "evaluate"]


class Probe(Protocol):
    """What `evaluate` calls: features and labels in, the share of test examples classified correctly out.

    Features are (N, D), labels (N,) class numbers, of a training and of a test set.

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
        """Accuracy on the test set, between 0 and 1."""
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
    """Probe a frozen encoder: how well do its layers tell the classes apart?

    The features of each layer are computed once. Every probe is then trained and tested on them. The encoder stays as
    it was. A cell of the table depends on the seed, and not on the other layers and probes of the call.

    Args:
        encoder: any `nn.Module`.
        train: images and labels to train the probes on: a pair of tensors, or a `DataLoader`.
        test: images and labels to test them on.
        layers: names of layers as `infomax.features.tap` takes them (empty for the encoder's output), or a
            mapping from names of your choice to them. The default fits `infomax.encoders`.
        probes: ``"mlp"`` (the paper's 200 hidden units), ``"linear"``, ``"knn"``, ``"svm"`` (the paper's linear
            one, by scikit-learn); or a mapping from names of your choice to probes, for instance
            ``{"mlp, 50 epochs": partial(mlp_probe, epochs=50)}``.
        random_state: an integer decides the probes' weights, dropout and order of examples, and is the table's
            ``seed``; a generator, or None for torch's global one, draws that integer.
        name: what to call the encoder in the table.
        batch_size: images per call of the encoder, where the data are tensors.
        device: where the images go and the probes work; the encoder's own device when None. The encoder is not moved.
        transform: what to do with each batch of images first, as in `extract_features`.
        progress: called with ``"train features"``, ``"conv mlp"``, ..., steps done and steps in all.

    Returns:
        `ProbeTable`; print it, or take its ``rows``.

    Raises:
        TypeError: as `extract_features`.
        ImportError: the probe ``"svm"`` without scikit-learn.
        ValueError: an unknown probe or layer, no labels, one class only, features that are not finite.

    Numerics:
        Features and probes are float32. The same seed gives the same table on one device and number of
        threads.

    Source:
        Hjelm et al., ICLR 2019, section 4.1; the probes name theirs.

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
        device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
    sets = []
    for title, data in (("train", train), ("test", test)):
        features, labels = extract_features(
            encoder,
            data,
            layers,
            batch_size=batch_size,
            device=device,
            transform=transform,
            progress=_prefixed(title, progress),
        )
        if labels is None:
            raise ValueError(f"{title} must hold labels: a pair (images, labels), or a DataLoader of such pairs")
        sets.append((features, labels))
    (train_features, train_labels), (test_features, test_labels) = sets
    rows = []
    for layer in list(train_features):
        # Popped, so that the widest layer does not outlive its probes.
        ours, theirs = train_features.pop(layer).to(device), test_features.pop(layer).to(device)
        for title, probe in chosen.items():
            accuracy = probe(
                ours,
                train_labels.to(device),
                theirs,
                test_labels.to(device),
                random_state=seed,
                progress=_prefixed(f"{layer} {title}", progress),
            )
            rows.append(ProbeRow(name, title, layer, ours.shape[1], float(accuracy), seed))
    return ProbeTable(rows)


def _choose(probes: Sequence[str] | Mapping[str, Probe]) -> dict[str, Probe]:
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
    generator = as_generator(random_state)  # which checks it
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(torch.randint(2**62, (), generator=generator, device="cpu"))


def _prefixed(title: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    report = progress

    def prefixed(what: str, done: int, total: int | None) -> None:
        report(f"{title} {what}" if what == "features" else title, done, total)

    return prefixed
