"""Frozen features of named layers, computed once for a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from infomax._checks import check_positive, shape_of
from infomax._modes import buffers_restored, evaluating
from infomax._precision import check_device, device_of
from infomax.evaluation.checks import check_batch, check_labels, check_transform, check_values
from infomax.features.tapping import taps

__all__ = ["Data", "Extracted", "Progress", "extract_features", "titled"]

Data: TypeAlias = "Tensor | tuple[Tensor, Tensor] | Mapping[str, Tensor] | Iterable[Any]"
"""Images, a pair of images and labels, a dict of keyword arguments, or an iterable of such batches (a `DataLoader`)."""

Progress: TypeAlias = Callable[[str, int, "int | None"], None]
"""A function called with a title, the number of steps done and the total number of steps (None: not known)."""


class Extracted(NamedTuple):
    """Frozen features of a data set.

    Args:
        features: the features of each layer by its name, each (N, D), float32, on the CPU.
        labels: (N,), int64, on the CPU; None where the data have no labels.

    Example:
        >>> import torch
        >>> from infomax.evaluation import extract_features
        >>> encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        >>> features, labels = extract_features(encoder, torch.rand(10, 3, 2, 2), ["1"])
        >>> features["1"].shape, labels is None
        (torch.Size([10, 4]), True)
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
    transform: Callable[[Any], Any] | None = None,
    progress: Progress | None = None,
    label_key: str = "labels",
) -> Extracted:
    """Run a frozen encoder over a data set and collect the outputs of named layers.

    The encoder runs in evaluation mode without gradients. Afterwards its weights, buffers (such as batch-norm
    statistics), training modes and hooks are as before.

    Args:
        encoder: any `nn.Module`.
        data: images (N, ...), or a pair of images and labels (N,), or a dict of tensors (N, ...) that are the encoder's
            keyword arguments; or an iterable of such batches, for instance a `DataLoader`.
        layers: names of layers as for `infomax.features.tap` (an empty name for the encoder's output), or a mapping
            from names of your choice to such names.
        batch_size: images per call, where ``data`` are tensors.
        device: the device to which inputs are moved before the encoder sees them; the encoder's own when None.
        transform: a function applied to each batch of images (or dict of keyword arguments) on that device, before the
            encoder; for uint8 images, the scaling used in training.
        progress: called after each batch with ``"features"``, the batches done and the total number of batches.
        label_key: the key of the labels in a dict, if it has labels; they are not passed to the encoder.

    Returns:
        `Extracted`: features by layer, each flattened to (N, D), float32, on the CPU; and the labels.

    Raises:
        TypeError: images are uint8 without a ``transform``, a batch is not images, (images, labels) or a dict of
            tensors, labels are not integers, or the output of a layer is complex.
        ValueError: there are no data, images and labels differ in number, only some batches have labels, the encoder
            does not have a layer of that name, or the width of a layer differs from batch to batch.

    Example:
        >>> from infomax import encoders
        >>> encoder = encoders.conv32()
        >>> images, labels = torch.rand(6, 3, 32, 32), torch.arange(6)
        >>> features, labels = extract_features(encoder, (images, labels), layers=("fc", "y"))
        >>> {layer: tuple(values.shape) for layer, values in features.items()}
        {'fc': (6, 1024), 'y': (6, 64)}

        A dict of tensors holds keyword arguments, such as those of Hugging Face encoders:

        >>> batch = {"images": images, "labels": labels}
        >>> extract_features(encoder, batch, ["y"]).labels
        tensor([0, 1, 2, 3, 4, 5])
    """
    batch_size = check_positive("batch_size", batch_size)
    check_transform(transform)
    if isinstance(data, Tensor):
        check_values(data=data)
    reader = taps(encoder, layers)
    kept: dict[str, list[Tensor]] = {}
    kept_labels: list[Tensor] = []
    done = 0
    try:
        device = device_of(encoder) if device is None else check_device(device)
        total = _number_of_batches(data, batch_size)
        with evaluating(encoder), buffers_restored(encoder), torch.no_grad():
            for inputs, labels in _batches(data, batch_size, label_key):
                check_batch(inputs, labels, transformed=transform is not None)
                if done and (labels is None) == bool(kept_labels):
                    raise ValueError("data must have labels in every batch or in none")
                if labels is not None:
                    kept_labels.append(labels.cpu().long())
                examples, given = _examples(inputs), _moved(inputs, device)
                given = transform(given) if transform else given
                outputs = reader(**given) if isinstance(given, Mapping) else reader(given)
                for layer, output in outputs.items():
                    kept.setdefault(layer, []).append(_rows(layer, output, examples))
                done += 1
                if progress is not None:
                    progress("features", done, total)
    finally:
        reader.remove()
    if done == 0:
        raise ValueError("data must hold at least one example, got none")
    features = {layer: _joined(layer, kept.pop(layer)) for layer in list(kept)}
    return Extracted(features, torch.cat(kept_labels) if kept_labels else None)


def titled(progress: Progress | None, title: str) -> Progress | None:
    """Return a progress function that reports to another under one title; None where that is None."""
    if progress is None:
        return None
    report = progress
    return lambda _, done, total: report(title, done, total)


def _number_of_batches(data: Data, batch_size: int) -> int | None:
    if isinstance(data, (Tensor, Mapping)) or _is_pair(data):
        return -(-_examples(data[0] if _is_pair(data) else data) // batch_size)  # type: ignore[index]
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:  # an iterable without a length
        return None


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2 and all(isinstance(item, Tensor) for item in data)


def _examples(inputs: Any) -> int:
    tensors = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    return next((len(value) for value in tensors if isinstance(value, Tensor) and value.ndim), 0)


def _moved(inputs: Any, device: torch.device | str) -> Any:
    if isinstance(inputs, Mapping):
        return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in inputs.items()}
    return inputs.to(device)


def _batches(data: Any, batch_size: int, label_key: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, Tensor):
        for start in range(0, len(data), batch_size):
            yield data[start : start + batch_size], None
    elif isinstance(data, Mapping):
        check_batch(data, None, transformed=True)
        _check_cut(data)
        for start in range(0, _examples(data), batch_size):
            cut = {
                key: value[start : start + batch_size] if isinstance(value, Tensor) and value.ndim else value
                for key, value in data.items()
            }
            yield _apart(cut, label_key)
    elif _is_pair(data):
        images, labels = data
        if labels.is_floating_point() and images.ndim > 1 and labels.shape[1:] == images.shape[1:]:
            raise TypeError(
                f"a list of two tensors is read as (images, labels), got labels of shape {shape_of(labels)}, like "
                "images; pass two batches as an iterator: iter([first, second])"
            )
        check_labels(images, labels)
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size], labels[start : start + batch_size]
    elif isinstance(data, Iterable):
        for batch in data:
            if isinstance(batch, Mapping):
                yield _apart(batch, label_key)
            elif isinstance(batch, (tuple, list)) and batch:
                yield batch[0], batch[1] if len(batch) > 1 else None
            else:
                yield batch, None
    else:
        raise TypeError(
            "data must be images, a pair (images, labels), a dict of tensors or a DataLoader, got "
            f"{type(data).__name__}; wrap a data set in a DataLoader"
        )


def _check_cut(data: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` if a value with one row per example is not a tensor and so cannot be cut into batches."""
    for key, value in data.items():
        if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) and len(value) == _examples(data):
            raise TypeError(
                f"data[{key!r}] must be a tensor where it holds a row per example, got {type(value).__name__}; convert "
                "it with torch.as_tensor, or give a DataLoader of dicts"
            )


def _apart(batch: Mapping[str, Any], label_key: str) -> tuple[dict[str, Any], Any]:
    """Return the arguments of the encoder, and the labels or None."""
    return {key: value for key, value in batch.items() if key != label_key}, batch.get(label_key)


def _joined(layer: str, parts: list[Tensor]) -> Tensor:
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(
            f"layer {layer!r} must give rows of one width in all batches, got {widths[0]} and {widths[-1]}; where the "
            "number of tokens differs, pick one as in '[:, 0]', or pool them in the encoder"
        )
    return torch.cat(parts)


def _rows(layer: str, output: Tensor, examples: int) -> Tensor:
    if output.ndim == 0 or len(output) != examples:
        raise ValueError(
            f"layer {layer!r} must give one row per image, got shape {shape_of(output)} for {examples} images"
        )
    if output.is_meta:
        raise ValueError(
            f"layer {layer!r} must give values, got a tensor on the meta device; move the encoder to another"
        )
    if output.is_complex():
        raise TypeError(
            f"layer {layer!r} must give real values, got {output.dtype}; take their magnitude in the encoder"
        )
    rows = output.flatten(1) if output.ndim > 1 else output[:, None]
    return rows.to("cpu", torch.float32, copy=True)
