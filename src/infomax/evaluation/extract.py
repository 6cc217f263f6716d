"""Frozen features at named layers, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from infomax._checks import check_positive, shape_of
from infomax.evaluation.checks import check_batch, check_labels, check_values
from infomax.features.modes import evaluating
from infomax.features.tapping import taps

__all__ = ["Data", "Extracted", "Progress", "extract_features"]

Data: TypeAlias = "Tensor | tuple[Tensor, Tensor] | Iterable[Any]"
"""Images; images and labels; or an iterable of such batches, for instance a `DataLoader`."""

Progress: TypeAlias = Callable[[str, int, "int | None"], None]
"""Called with what is being done, how many steps are done and how many there are (None: not known)."""


class Extracted(NamedTuple):
    """Frozen features of a data set.

    Args:
        features: by layer, each (N, D), float32, on the CPU.
        labels: (N,), int64, on the CPU; None where the data have none.
    """

    features: dict[str, Tensor]
    labels: Tensor | None


def extract_features(
    encoder: nn.Module,
    data: Data,
    layers: Sequence[str] | Mapping[str, str] = ("conv", "fc", "y"),
    *,
    batch_size: int = 512,
    device: torch.device | str | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Run a frozen encoder over a data set and keep what named layers return.

    The encoder runs in evaluation mode without gradients, and is handed back untouched: weights, batch-norm
    statistics, training modes and hooks are as before.

    Args:
        encoder: any `nn.Module`.
        data: images (N, ...), or a pair of images and labels (N,), or an iterable of such batches: a
            `DataLoader`.
        layers: names of layers as `infomax.features.tap` takes them (empty for the encoder's output), or a
            mapping from names of your choice to them.
        batch_size: images a call, where ``data`` are tensors.
        device: where the images go before the encoder sees them; the encoder's own device when None.
        transform: what to do with each batch of images first, on that device: for images kept as uint8, the
            scaling used in training.
        progress: called after each batch with ``"features"``, batches done and batches in all.

    Returns:
        `Extracted`: features by layer, each flattened to (N, D), float32, on the CPU; and labels.

    Raises:
        TypeError: uint8 images without a ``transform``, batches that are not images or (images, labels),
            labels that are not integers.
        ValueError: no data, images and labels that differ in number, labels in some batches only, a layer
            that the encoder does not have.

    Example:
        >>> from infomax import encoders
        >>> encoder = encoders.conv32()
        >>> images, labels = torch.rand(6, 3, 32, 32), torch.arange(6)
        >>> features, labels = extract_features(encoder, (images, labels), layers=("fc", "y"))
        >>> {layer: tuple(values.shape) for layer, values in features.items()}
        {'fc': (6, 1024), 'y': (6, 64)}
    """
    batch_size = check_positive("batch_size", batch_size)
    if isinstance(data, Tensor):
        check_values(data=data)
    reader = taps(encoder, layers)
    if device is None:
        device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
    kept: dict[str, list[Tensor]] = {}
    kept_labels: list[Tensor] = []
    total = _number_of_batches(data, batch_size)
    done = 0
    try:
        with evaluating(encoder), torch.no_grad():
            for images, labels in _batches(data, batch_size):
                check_batch(images, labels, transformed=transform is not None)
                if done and (labels is None) == bool(kept_labels):
                    raise ValueError("data must have labels in every batch or in none")
                if labels is not None:
                    kept_labels.append(labels.cpu().long())
                images = images.to(device)
                for layer, output in reader(transform(images) if transform else images).items():
                    kept.setdefault(layer, []).append(_rows(layer, output, len(images)))
                done += 1
                if progress is not None:
                    progress("features", done, total)
    finally:
        reader.remove()
    if done == 0:
        raise ValueError("data must hold at least one example, got none")
    features = {layer: torch.cat(kept.pop(layer)) for layer in list(kept)}
    return Extracted(features, torch.cat(kept_labels) if kept_labels else None)


def _number_of_batches(data: Data, batch_size: int) -> int | None:
    if isinstance(data, Tensor) or _is_pair(data):
        images = data if isinstance(data, Tensor) else data[0]  # type: ignore[index]
        return -(-len(images) // batch_size)
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:  # an iterable without a length
        return None


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2 and all(isinstance(item, Tensor) for item in data)


def _batches(data: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, Tensor):
        for start in range(0, len(data), batch_size):
            yield data[start : start + batch_size], None
    elif _is_pair(data):
        images, labels = data
        check_labels(images, labels)
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size], labels[start : start + batch_size]
    elif isinstance(data, Iterable):
        for batch in data:
            if isinstance(batch, (tuple, list)) and len(batch) >= 2:
                yield batch[0], batch[1]
            else:
                yield batch, None
    else:
        raise TypeError(
            "data must be images, a pair (images, labels) or a DataLoader, got "
            f"{type(data).__name__}; wrap a data set in a DataLoader"
        )


def _rows(layer: str, output: Tensor, examples: int) -> Tensor:
    if output.ndim == 0 or len(output) != examples:
        raise ValueError(
            f"layer {layer!r} must give one row per image, got shape {shape_of(output)} for {examples} images"
        )
    rows = output.flatten(1) if output.ndim > 1 else output[:, None]
    return rows.to("cpu", torch.float32, copy=True)
