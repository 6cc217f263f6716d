"""Input checks of the evaluation: frozen features, labels, images, and pairs of a training and a test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of
from infomax._precision import widened

__all__ = [
    "Labelled",
    "check_batch",
    "check_frozen",
    "check_images",
    "check_labelled",
    "check_labels",
    "check_rows",
    "check_transform",
    "check_values",
]


class Labelled(NamedTuple):
    """Features (N, D), float32 or float64, and class numbers (N,)."""

    features: Tensor
    labels: Tensor


def check_rows(name: str, features: object, *, at_least: int = 1, dtype: torch.dtype | None = None) -> Tensor:
    """Return features (N, D) in float32 at least, or raise.

    Args:
        name: the argument, for the message.
        features: what the user gave.
        at_least: the smallest N.
        dtype: the dtype to convert to; when None, float64 for float64 features and float32 for all others.

    Raises:
        TypeError: ``features`` is not a tensor of a real floating dtype.
        ValueError: the shape is wrong, there are too few rows or no columns, or values are not finite in that dtype.

    Numerics:
        Finiteness is checked after the conversion, on the minimum and the maximum; a sum could overflow.

    Example:
        >>> check_rows("features", torch.full((2, 3), 6e4, dtype=torch.float16)).dtype
        torch.float32
    """
    features = check_floating(name, features)
    if features.ndim != 2 or features.shape[1] == 0:
        hint = "; flatten them with .flatten(1)" if features.ndim > 2 and features.numel() else ""
        raise ValueError(f"{name} must have shape (N, D) with D of at least 1, got {shape_of(features)}{hint}")
    if len(features) < at_least:
        what = "one example" if at_least == 1 else f"{at_least} examples"
        raise ValueError(f"{name} must hold at least {what}, got {len(features) or 'none'}")
    check_values(**{name: features})
    features = features.detach()  # the encoder is frozen
    rows = widened(features) if dtype is None else features.to(dtype)
    if not _finite(rows):
        if rows is not features and _finite(features):
            raise ValueError(f"{name} must fit into {rows.dtype}, got values of larger magnitude; rescale the features")
        raise ValueError(f"{name} must be finite, got NaN or infinity; did the training diverge?")
    return rows


def check_values(**tensors: Tensor) -> None:
    """Raise ``ValueError`` unless tensors, given under the names of their arguments, are dense and hold values."""
    for name, value in tensors.items():
        if value.is_meta or value.layout != torch.strided or value.ndim == 0:
            kind = "a tensor on the meta device" if value.is_meta else f"layout {value.layout}, {value.ndim} axes"
            raise ValueError(f"{name} must be a dense tensor that holds an example per row, got {kind}")


def check_frozen(train_features: Tensor, test_features: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    """Return a training and a test set of features in float32, or raise.

    Raises:
        TypeError: the features are not floating point.
        ValueError: shapes are wrong, widths or devices differ, there are too few rows, or values are not finite.
    """
    train = check_rows("train_features", train_features, at_least=at_least, dtype=torch.float32)
    test = check_rows("test_features", test_features, at_least=at_least, dtype=torch.float32)
    _check_pair(train, test)
    return train, test


def check_labelled(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    dtype: torch.dtype | None = None,
) -> tuple[Labelled, Labelled, int]:
    """Check a training and a test set, and number the classes from 0.

    Args:
        train_features: (N, D).
        train_labels: (N,), any integers of at least 0.
        test_features: (M, D).
        test_labels: (M,). A class that occurs only here is counted too, although no probe can learn it.
        dtype: dtype of the returned features; see `check_rows`.

    Returns:
        Training set, test set, and number of classes. Class numbers keep the order of the labels.

    Raises:
        TypeError: the features are not floating point, or the labels are not integers.
        ValueError: shapes, devices or lengths do not fit, there are no examples or features, values are not finite,
            labels are negative, or the training set has only one class.

    Example:
        >>> features = torch.zeros(3, 2)
        >>> _, test, classes = check_labelled(features, torch.tensor([3, 7, 3]), features, torch.tensor([3, 7, 9]))
        >>> classes, test.labels
        (3, tensor([0, 1, 2]))
    """
    train = _labelled("train", train_features, train_labels, dtype)
    test = _labelled("test", test_features, test_labels, dtype)
    _check_pair(train.features, test.features)
    if len(torch.unique(train.labels)) < 2:
        raise ValueError(f"train_labels must hold at least two classes, got only {int(train.labels[0])}")
    classes, numbers = torch.unique(torch.cat([train.labels, test.labels]), return_inverse=True)
    train_numbers, test_numbers = numbers.split([len(train.labels), len(test.labels)])
    return Labelled(train.features, train_numbers), Labelled(test.features, test_numbers), len(classes)


def check_images(name: str, images: Tensor, features: Tensor, transform: Callable[[Tensor], Tensor] | None) -> None:
    """Raise unless there is one image per row of features, in a dtype that an encoder accepts.

    Raises:
        TypeError: the images are not a tensor, or, without a ``transform``, not floating point.
        ValueError: the numbers of images and rows differ.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor of images, got {type(images).__name__}")
    check_transform(transform)
    if images.dtype == torch.uint8 and transform is None:
        raise TypeError(
            f"{name} are torch.uint8; pass the scaling as transform, for instance "
            "transform=lambda images: images.float() / 255"
        )
    if transform is None:
        check_floating(name, images)
    if images.ndim == 0 or len(images) != len(features):
        raise ValueError(
            f"{name} must hold one image per row of features, got {shape_of(images)} for {len(features)} rows"
        )


def check_batch(images: Any, labels: Any, *, transformed: bool) -> None:
    """Raise unless a batch consists of images, or a dict of tensors, with one label per example or no labels.

    Raises:
        TypeError: there are no tensors, the images are uint8 and no ``transform`` scales them, or the labels are not
            integers.
        ValueError: there is not one label per example, or the tensors of a dict differ in length.
    """
    if isinstance(images, Mapping):
        tensors = {key: value for key, value in images.items() if isinstance(value, Tensor) and value.ndim}
        if not tensors:
            raise TypeError(
                "data must give dicts that hold tensors, one row per example, got "
                f"{', '.join(f'{key} ({type(value).__name__})' for key, value in images.items()) or 'an empty one'}"
            )
        if len({len(value) for value in tensors.values()}) > 1:
            shapes = ", ".join(f"{key} {shape_of(value)}" for key, value in tensors.items())
            raise ValueError(f"data must give dicts whose tensors have one row per example, got {shapes}")
        images, transformed = next(iter(tensors.values())), True
    for name, value in (("images", images), ("labels", labels)):
        if not isinstance(value, Tensor) and not (name == "labels" and value is None):
            raise TypeError(
                f"data must give batches of tensors, (images, labels) or images, got {name} of type "
                f"{type(value).__name__}; wrap a data set in a DataLoader"
            )
    if images.dtype == torch.uint8 and not transformed:
        raise TypeError(
            "images are torch.uint8, and the scaling that the encoder was trained with is not known; pass it as "
            "transform, for instance transform=lambda images: images.float() / 255"
        )
    check_values(images=images)
    if labels is not None:
        check_labels(images, labels)


def check_labels(images: Tensor, labels: Tensor) -> None:
    """Raise unless there is one integer label per image."""
    if not _whole(labels):
        raise TypeError(f"labels must be integer class numbers, got {labels.dtype}; convert them with .long()")
    check_values(images=images, labels=labels)
    if labels.ndim != 1 or images.ndim == 0 or len(labels) != len(images):
        one_hot = labels.ndim == 2 and images.ndim > 0 and len(labels) == len(images)
        raise ValueError(
            f"labels must have one entry per image, got labels of shape {shape_of(labels)} for images of shape "
            f"{shape_of(images)}" + ("; one-hot labels become class numbers with .argmax(1)" if one_hot else "")
        )


def _whole(labels: Tensor) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.is_quantized)


def _finite(values: Tensor) -> bool:
    if not values.numel():
        return True
    least, greatest = torch.aminmax(values.detach())  # propagates NaN, and cannot overflow as a sum could
    return bool(torch.isfinite(least) & torch.isfinite(greatest))


def _check_pair(train: Tensor, test: Tensor) -> None:
    check_same_device(train_features=train, test_features=test)
    if train.shape[1] != test.shape[1]:
        raise ValueError(
            f"train_features and test_features must have the same width, got {shape_of(train)} and {shape_of(test)}"
        )


def _labelled(name: str, features: object, labels: object, dtype: torch.dtype | None) -> Labelled:
    given = check_floating(f"{name}_features", features)
    if not isinstance(labels, Tensor) or not _whole(labels):
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{name}_labels must be a tensor of integer class numbers, got {kind}")
    check_values(**{f"{name}_labels": labels})
    labels = labels.long()
    if given.ndim != 2 or labels.ndim != 1 or len(given) != len(labels):
        raise ValueError(
            f"{name}_features and {name}_labels must have shapes (N, D) and (N,), got {shape_of(given)} and "
            f"{shape_of(labels)}"
        )
    rows = check_rows(f"{name}_features", given, dtype=dtype)
    if int(labels.min()) < 0:
        raise ValueError(f"{name}_labels must be at least 0, got {int(labels.min())}; leave unlabelled examples out")
    return Labelled(rows, labels.to(rows.device, torch.long))


def check_transform(transform: object, name: str = "transform") -> None:
    """Raise unless ``transform`` is a function or None."""
    if transform is not None and not callable(transform):
        raise TypeError(f"{name} must be a function of a batch of images, got {type(transform).__name__}")
