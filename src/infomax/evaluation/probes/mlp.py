"""The paper's probe: one hidden layer on frozen features."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from infomax._checks import check_number, check_positive
from infomax._random import RandomState
from infomax.evaluation.checks import check_labelled
from infomax.evaluation.extract import Progress
from infomax.evaluation.probes.train import trained_accuracy

__all__ = ["MLPProbe", "mlp_probe"]


class MLPProbe(nn.Sequential):
    """The paper's probe: one hidden layer with dropout, batch norm and ReLU.

    Args:
        width: width D of the features.
        classes: number of classes.
        hidden: number of hidden units.
        dropout: share of hidden units dropped in training.

    Shapes:
        (N, D) to logits (N, classes).

    Raises:
        ValueError: a size is not positive, or ``dropout`` is not between 0 and 1.

    Example:
        >>> import torch
        >>> from infomax.evaluation import MLPProbe
        >>> MLPProbe(64, classes=10)(torch.randn(5, 64)).shape
        torch.Size([5, 10])
    """

    def __init__(self, width: int, classes: int, *, hidden: int = 200, dropout: float = 0.1) -> None:
        width, classes = check_positive("width", width), check_positive("classes", classes)
        hidden, dropout = check_positive("hidden", hidden), check_number("dropout", dropout, at_least=0)
        if dropout > 1:
            raise ValueError(f"dropout must be a share from 0 to 1, got {dropout}")
        super().__init__(
            OrderedDict[str, nn.Module](
                hidden=nn.Linear(width, hidden),
                dropout=nn.Dropout(dropout),
                norm=nn.BatchNorm1d(hidden),
                activation=nn.ReLU(),
                output=nn.Linear(hidden, classes),
            )
        )


def mlp_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    hidden: int = 200,
    dropout: float = 0.1,
    epochs: int | None = None,
    lr: float = 3e-3,
    batch_size: int = 512,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> float:
    """Return the accuracy of the paper's non-linear probe, one hidden layer of 200 units on frozen features.

    This probe measures what a small network can read from a representation, linearly separable or not. The defaults
    train in a fraction of the time of the paper's setting, which is ``lr=1e-4, schedule="step"`` and many more
    ``epochs``.

    Args:
        train_features: (N, D).
        train_labels: (N,), integers.
        test_features: (M, D), on the same device.
        test_labels: (M,), integers.
        hidden: number of hidden units.
        dropout: share of hidden units dropped in training.
        epochs: passes over the training set; when None, 15, or as many as make 500 steps if 15 passes make fewer.
        lr: initial learning rate of Adam.
        batch_size: examples per step.
        weight_decay: weight decay of Adam.
        schedule: ``"cosine"``, ``"step"`` or ``"constant"``; see `infomax.evaluation.fit`.
        random_state: an integer or a generator that determines weights, dropout and the order of examples.
        progress: called after each epoch, as in `infomax.evaluation.fit`.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        TypeError: dtypes do not fit.
        ValueError: shapes do not fit, features are not finite, there is a single class, or an option is out of range.

    Source:
        Hjelm et al., ICLR 2019, section 4.1 on evaluation.

    Example:
        >>> labels = torch.arange(4).repeat(64)
        >>> features = torch.randn(256, 8) + 5 * nn.functional.one_hot(labels, 8)
        >>> mlp_probe(features, labels, features, labels, epochs=20, batch_size=32) > 0.95
        True
    """
    train, test, classes = check_labelled(train_features, train_labels, test_features, test_labels, dtype=torch.float32)
    return trained_accuracy(
        partial(MLPProbe, train.features.shape[1], classes, hidden=hidden, dropout=dropout),
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
