"""What the trained probes share: build under a seed, fit, count what is right."""

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
    """Accuracy on the test set of a classifier that is trained on the training set.

    Args:
        build: makes the classifier; its weights are drawn from ``random_state``.
        train: what it is fitted on.
        test: what it is judged on.
        random_state: decides weights, dropout and the order of examples.
        **options: of `infomax.evaluation.fit.fit`.
    """
    generator = as_generator(random_state)
    device = train.features.device
    with seeded(generator, device):
        probe = build().to(device, train.features.dtype)
        fit(probe, train.features, train.labels, random_state=generator, **options)
    return accuracy(probe, test.features, test.labels)
