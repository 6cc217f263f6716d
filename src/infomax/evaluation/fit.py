"""Training of a small network, usually a classifier, on precomputed features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from infomax._checks import check_choice, check_integer, check_number, check_positive
from infomax._modes import evaluating
from infomax._precision import without_autocast
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_labels
from infomax.evaluation.extract import Progress

__all__ = ["accuracy", "fit", "learning_rate", "seeded"]

_SCHEDULES = ("constant", "cosine", "step")


def fit(
    classifier: nn.Module,
    features: Tensor,
    labels: Tensor,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    epochs: int | None = None,
    lr: float = 3e-3,
    batch_size: int = 512,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> None:
    """Train a classifier in place with cross-entropy and Adam; or any module with a loss of your choice.

    Args:
        classifier: any module from (N, D) to logits (N, classes), on the device of the features.
        features: (N, D).
        labels: (N,), class numbers from 0 on; with a ``loss`` of your own, its targets, (N, ...).
        loss: a function of the module's output for a batch and the labels of that batch, which returns a scalar.
        epochs: passes over the features; when None, 15, or as many as make 500 steps if 15 passes make fewer.
        lr: initial learning rate.
        batch_size: examples per step. A last batch of one example is left out, since batch norm cannot train on it.
        weight_decay: weight decay of Adam.
        schedule: ``"cosine"`` decays the rate to 0, ``"step"`` divides it by 10 after half and after three quarters of
            the training, ``"constant"`` keeps it.
        random_state: an integer or a generator that determines the order of examples.
        progress: called after each epoch with ``"fit"``, the epochs done and the total number of epochs.

    Raises:
        TypeError: the labels are not integers, and the loss is the default.
        ValueError: an option is out of range, there are fewer than two examples, or the numbers of labels and examples
            differ.

    Numerics:
        Autocast around the call has no effect.

    Example:
        >>> import torch
        >>> from infomax.evaluation import accuracy, fit
        >>> features, labels = torch.randn(100, 4), torch.arange(100) % 2
        >>> features[:, 0] += 6 * labels
        >>> classifier = torch.nn.Linear(4, 2)
        >>> fit(classifier, features, labels, lr=0.1, epochs=20, random_state=0)
        >>> accuracy(classifier, features, labels) > 0.9
        True
    """
    check_choice("schedule", schedule, _SCHEDULES)
    batch_size = check_integer("batch_size", batch_size, at_least=2)
    lr = check_number("lr", lr, above=0)
    weight_decay = check_number("weight_decay", weight_decay, at_least=0)
    if len(features) < 2:
        raise ValueError(f"features must hold at least 2 examples to train on, got {len(features)}")
    if loss is functional.cross_entropy:
        check_labels(features, labels)
        labels = labels.long()
    elif len(labels) != len(features):
        raise ValueError(f"labels must be as many as features, {len(features)}, got {len(labels)}")
    generator = as_generator(random_state)
    # The fused kernel passes over weights, gradients and moments once instead of a dozen times.
    fused = features.device.type in ("cpu", "cuda")
    optimizer = torch.optim.Adam(classifier.parameters(), lr=lr, weight_decay=weight_decay, fused=fused)
    starts = range(0, len(features) - 1, batch_size)  # a last batch of one is left out
    epochs = max(15, -(-500 // len(starts))) if epochs is None else check_positive("epochs", epochs)
    steps = epochs * len(starts)
    classifier.train()
    step = 0
    for epoch in range(epochs):
        order = torch.randperm(len(features), generator=generator, device="cpu").to(features.device)
        for start in starts:
            rows = order[start : start + batch_size]
            optimizer.param_groups[0]["lr"] = learning_rate(step / steps, lr=lr, schedule=schedule)
            optimizer.zero_grad()
            with without_autocast(features.device):
                value = loss(classifier(features[rows]), labels[rows.to(labels.device)])
            torch.autograd.backward(value)
            optimizer.step()
            step += 1
        if progress is not None:
            progress("fit", epoch + 1, epochs)


def learning_rate(done: float, *, lr: float, schedule: str) -> float:
    """Return the learning rate after a share ``done`` of the training.

    Example:
        >>> [learning_rate(done, lr=1.0, schedule="step") for done in (0.0, 0.5, 0.75)]
        [1.0, 0.1, 0.01]
    """
    if schedule == "cosine":
        return lr * 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "step":
        return lr * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
    return lr


def accuracy(classifier: nn.Module, features: Tensor, labels: Tensor, *, batch_size: int = 4096) -> float:
    """Return the share of examples that a classifier, in evaluation mode, classifies correctly; between 0 and 1.

    Args:
        classifier: any module from (N, D) to logits (N, classes).
        features: (N, D).
        labels: (N,), class numbers.
        batch_size: rows per call of the classifier.

    Raises:
        TypeError: the labels are not integers.
        ValueError: there is no example, the labels do not have shape (N,), the batch size is below 1, or logits are not
            finite.

    Example:
        >>> import torch
        >>> from infomax.evaluation import accuracy
        >>> accuracy(torch.nn.Identity(), torch.eye(4), torch.tensor([0, 1, 2, 0]))
        0.75
    """
    check_labels(features, labels)
    if not len(features):
        raise ValueError("features must hold at least one example, got 0")
    batch_size, right = check_positive("batch_size", batch_size), 0
    with evaluating(classifier), torch.no_grad(), without_autocast(features.device):
        for start in range(0, len(features), batch_size):
            rows = slice(start, start + batch_size)
            logits = classifier(features[rows])
            if not bool(logits.isfinite().all()):
                raise ValueError("classifier must give finite logits, got NaN or infinity; did the training diverge?")
            right += int((logits.argmax(1) == labels[rows]).sum())
    return right / len(labels)


@contextmanager
def seeded(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, for weights and dropout, with a draw from a generator; restore them on exit.

    Gradients are on inside the context, so that a probe can be trained in a validation hook that turned them off.
    Autocast is off.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    devices = [device] if device.type == "cuda" else []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=devices),
        without_autocast(device),
    ):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would also seed all other devices
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
