"""Checked features with labels, as every probe needs them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of

__all__ = ["Labelled", "check_labelled"]


class Labelled(NamedTuple):
    """Features (N, D) and class numbers (N,)."""

    features: Tensor
    labels: Tensor


def check_labelled(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> tuple[Labelled, Labelled, int]:
    """Check a training and a test set, and number the classes from 0.

    Args:
        train_features: (N, D).
        train_labels: (N,), any integers from 0 on.
        test_features: (M, D).
        test_labels: (M,). A class that the training set lacks counts, and is always missed.

    Returns:
        Training set, test set, and number of classes. Class numbers keep the order of the labels.

    Raises:
        TypeError: features that are not floating point, labels that are not integers.
        ValueError: other shapes, devices or lengths, no examples, values that are not finite, negative
            labels, one class only.

    Example:
        >>> features = torch.zeros(3, 2)
        >>> _, test, classes = check_labelled(features, torch.tensor([3, 7, 3]), features, torch.tensor([3, 7, 9]))
        >>> classes, test.labels
        (3, tensor([0, 1, 2]))
    """
    train = _check("train", train_features, train_labels)
    test = _check("test", test_features, test_labels)
    check_same_device(train_features=train_features, test_features=test_features)
    if train.features.shape[1] != test.features.shape[1]:
        raise ValueError(
            "train_features and test_features must have the same width, got "
            f"{shape_of(train_features)} and {shape_of(test_features)}"
        )
    if len(torch.unique(train.labels)) < 2:
        raise ValueError(f"train_labels must hold at least two classes, got only {int(train.labels[0])}")
    classes, numbers = torch.unique(torch.cat([train.labels, test.labels]), return_inverse=True)
    train_numbers, test_numbers = numbers.split([len(train.labels), len(test.labels)])
    return Labelled(train.features, train_numbers), Labelled(test.features, test_numbers), len(classes)


def _check(name: str, features: object, labels: object) -> Labelled:
    features = check_floating(f"{name}_features", features)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{name}_labels must be a tensor of integer class numbers, got {kind}")
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise ValueError(
            f"{name}_features and {name}_labels must have shapes (N, D) and (N,), got {shape_of(features)} and "
            f"{shape_of(labels)}"
        )
    if len(labels) == 0:
        raise ValueError(f"{name}_features must hold at least one example, got none")
    if not bool(torch.isfinite(features.sum(1)).all()):
        raise ValueError(f"{name}_features must be finite, got NaN or infinity; did the training diverge?")
    if int(labels.min()) < 0:
        raise ValueError(f"{name}_labels must be at least 0, got {int(labels.min())}; leave unlabelled examples out")
    return Labelled(features, labels.to(features.device, torch.long))
