"""The linear probe: softmax regression on frozen features."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from infomax._checks import check_positive
from infomax._random import RandomState
from infomax.evaluation.checks import check_labelled
from infomax.evaluation.extract import Progress
from infomax.evaluation.probes.train import trained_accuracy
from infomax.evaluation.standardise import Standardise

__all__ = ["LinearProbe", "linear_probe"]


class LinearProbe(nn.Sequential):
    """Softmax regression on standardised features.

    Args:
        features: (N, D), the training set, whose mean and deviation standardise the features.
        classes: number of classes.

    Raises:
        TypeError: the features are not floating point.
        ValueError: the features have another shape or are not finite, or ``classes`` is below 1.

    Example:
        >>> import torch
        >>> from infomax.evaluation import LinearProbe
        >>> features = torch.randn(100, 64)
        >>> LinearProbe(features, classes=10)(features[:5]).shape
        torch.Size([5, 10])
    """

    def __init__(self, features: Tensor, classes: int) -> None:
        classes, standardise = check_positive("classes", classes), Standardise(features)
        output = nn.Linear(features.shape[1], classes, device=features.device, dtype=standardise.mean.dtype)
        super().__init__(OrderedDict[str, nn.Module](standardise=standardise, output=output))


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    epochs: int | None = None,
    lr: float = 3e-3,
    batch_size: int = 512,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> float:
    """Return the accuracy of softmax regression on frozen, standardised features, a measure of linear separability.

    Args:
        train_features: (N, D).
        train_labels: (N,), integers.
        test_features: (M, D), on the same device.
        test_labels: (M,), integers.
        epochs: passes over the training set; when None, 15, or as many as make 500 steps if 15 passes make fewer.
        lr: initial learning rate of Adam.
        batch_size: examples per step.
        weight_decay: weight decay of Adam.
        schedule: ``"cosine"``, ``"step"`` or ``"constant"``; see `infomax.evaluation.fit`.
        random_state: an integer or a generator that determines weights and the order of examples.
        progress: called after each epoch, as in `infomax.evaluation.fit`.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        TypeError: dtypes do not fit.
        ValueError: shapes do not fit, features are not finite, there is a single class, or an option is out of range.

    Source:
        The common protocol of logistic regression on frozen features. The paper's linear measure is an SVM.

    Example:
        >>> labels = torch.arange(4).repeat(64)
        >>> features = torch.randn(256, 8) + 5 * nn.functional.one_hot(labels, 8)
        >>> linear_probe(features, labels, features, labels, epochs=20, batch_size=32, lr=0.01) > 0.95
        True
    """
    train, test, classes = check_labelled(train_features, train_labels, test_features, test_labels, dtype=torch.float32)
    return trained_accuracy(
        partial(LinearProbe, train.features, classes),
        train,
        test,
        random_state=random_state,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        weight_decay=weight_decay,
        schedule=schedule,
        progress=progress,
    )
