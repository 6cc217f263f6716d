"""A linear support vector machine on frozen features, by scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from infomax._checks import check_number, check_positive
from infomax._extras import require
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import Labelled, check_labelled
from infomax.evaluation.extract import Progress
from infomax.evaluation.standardise import Standardise

__all__ = ["svm_probe"]

TOLERANCE = 0.01  # LIBLINEAR's own, for the primal; scikit-learn's 1e-4 was slower for the same accuracy


def svm_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    C: float | Iterable[float] = (0.1, 1.0, 10.0),
    choose_on: int = 5000,
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> float:
    r"""Accuracy of a linear support vector machine on frozen, standardised features: the paper's linear measure.

    .. math:: \min_{w, b} \tfrac12 (\|w\|^2 + b^2) + \frac{C}{D} \sum_i \max(0, 1 - t_i (\langle w, x_i \rangle + b))^2

    One such machine a class, against all others, with :math:`t_i = \pm 1`; the highest score wins. A standardised
    row has a squared norm of about D, so C is divided by the width D and means the same at every layer. Where C is
    a choice of several, a fifth of the training examples judges them; the test set has no part in it. Against
    `linear_probe` it has no learning rate and no epochs to tune, and takes longer on wide layers.

    Args:
        train_features: (N, D).
        train_labels: (N,), integers.
        test_features: (M, D).
        test_labels: (M,), integers.
        C: weight of the errors, or several to choose from.
        choose_on: training examples at most that the choice is made on; the machine tested is trained on all.
        random_state: an integer or a generator that decides which examples C is chosen on. The fits themselves take
            the examples in a fixed order.
        progress: called after each fit with ``"svm"``, fits done and fits in all.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        ImportError: scikit-learn is not installed.
        TypeError: dtypes that do not fit.
        ValueError: shapes that do not fit, features that are not finite, a single class, no C or one that is not
            positive.

    Numerics:
        Solved by scikit-learn's `LinearSVC` to a tolerance of 0.01, in the dual where C is at most 1 or the examples
        are fewer than the units, and in the primal elsewhere. Both have the same minimum. The dual is faster on
        wide layers with a small C, and narrow layers take seconds either way.
        It holds the features in float64 and two copies of that size: 50,000 rows of 1,024 take about 1.2 GiB.
        Works on the CPU, whatever device the features are on.

    Source:
        Hjelm et al., ICLR 2019, section 4.1, as a measure of a representation. The choice of C is ours.

    Example:
        >>> labels = torch.arange(4).repeat(64)
        >>> features = torch.randn(256, 8) + 5 * torch.nn.functional.one_hot(labels, 8)
        >>> svm_probe(features, labels, features, labels, C=1.0) > 0.95
        True
    """
    train, test, _ = check_labelled(train_features, train_labels, test_features, test_labels)
    choices = _choices(C)
    check_positive("choose_on", choose_on)
    generator = as_generator(random_state)
    machine = require("sklearn.svm", package="scikit-learn", by="svm_probe", extra="evaluation").LinearSVC
    standardise = Standardise(train.features).double()
    train = Labelled(standardise(train.features.double()).cpu(), train.labels.cpu())
    test = Labelled(standardise(test.features.double()).cpu(), test.labels.cpu())
    fits = 1 if len(choices) == 1 else 1 + len(choices)

    def accuracy(c: float, fitted: Labelled, judged: Labelled, number: int) -> float:
        count, width = fitted.features.shape
        # The dual descends over examples: few passes while each one's weight is small, hundreds once it is not.
        model = machine(C=c / width, dual=c <= 1 or count < width, tol=TOLERANCE, random_state=0)
        score = _score(model, fitted, judged)
        if progress is not None:
            progress("svm", number, fits)
        return score

    best = choices[0]
    if len(choices) > 1:
        fitted, judged = _halves(train, choose_on, generator)
        scores = [accuracy(c, fitted, judged, number) for number, c in enumerate(choices, start=1)]
        best = choices[scores.index(max(scores))]
    return accuracy(best, train, test, fits)


def _choices(C: float | Iterable[float]) -> list[float]:
    # An array or a tensor may hold a single number.
    values = C if isinstance(C, Iterable) and getattr(C, "ndim", 1) > 0 else [C]
    choices = sorted(check_number("C", c, above=0) for c in values)
    if not choices:
        raise ValueError("C must be a positive number or several to choose from, got none")
    return choices


def _halves(train: Labelled, count: int, generator: torch.Generator) -> tuple[Labelled, Labelled]:
    """Four fifths to fit and one fifth to judge, of ``count`` examples at most."""
    order = torch.randperm(len(train.labels), generator=generator, device="cpu")[:count]
    judges = max(1, len(order) // 5)
    judged, fitted = order[:judges], order[judges:]
    if len(torch.unique(train.labels[fitted])) < 2:
        raise ValueError(
            f"train_labels must hold two classes among the {len(fitted)} examples that C is chosen on, got one; "
            "pass a single C"
        )
    return Labelled(*(t[fitted] for t in train)), Labelled(*(t[judged] for t in train))


def _score(model: Any, fitted: Labelled, judged: Labelled) -> float:
    model.fit(fitted.features.numpy(), fitted.labels.numpy())
    return float(model.score(judged.features.numpy(), judged.labels.numpy()))
