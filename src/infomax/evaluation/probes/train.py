"""Training and testing of a probe under a seed, shared by the trained probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import Labelled
from infomax.evaluation.fit import accuracy, fit, seeded

__all__ = ["trained_accuracy"]


def trained_accuracy(
    build: Callable[[], nn.Module], train: Labelled, test: Labelled, *, random_state: RandomState, **options: Any
) -> float:
    """Train a classifier on a training set and return its accuracy on a test set.

    Args:
        build: a function that makes the classifier; the weights are drawn from ``random_state``.
        train: the training set.
        test: the test set.
        random_state: an integer or a generator that determines weights, dropout and the order of examples.
        **options: options of `infomax.evaluation.fit`.
    """
    generator = as_generator(random_state)
    device = train.features.device
    with seeded(generator, device):
        probe = build().to(device, train.features.dtype)
        fit(probe, train.features, train.labels, random_state=generator, **options)
    return accuracy(probe, test.features, test.labels)
