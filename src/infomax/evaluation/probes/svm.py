"""A linear support vector machine on frozen features, with scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from infomax._checks import check_number, check_positive
from infomax._extras import require
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import Labelled, check_labelled
from infomax.evaluation.extract import Progress
from infomax.evaluation.standardise import Standardise

__all__ = ["svm_probe"]

TOLERANCE = 0.01  # LIBLINEAR's default for the primal; scikit-learn's default of 1e-4 was slower and no more accurate


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
    r"""Return the accuracy of a linear support vector machine on frozen, standardised features, as in the paper.

    .. math:: \min_{w, b} \tfrac12 (\|w\|^2 + b^2) + \frac{C}{D} \sum_i \max(0, 1 - t_i (\langle w, x_i \rangle + b))^2

    One machine per class, with :math:`t_i = \pm 1`, separates the class from all others, and the highest score decides.
    A standardised row has a squared norm of about D, so C is divided by the width D and has the same meaning at every
    layer. Among several values of C, the best on a fifth of the training examples is chosen, after fits to the other
    four fifths; the test set is not used for the choice. Unlike `linear_probe`, this probe has no learning rate and no
    number of epochs to tune, but it takes longer on wide layers.

    Args:
        train_features: (N, D).
        train_labels: (N,), integers.
        test_features: (M, D).
        test_labels: (M,), integers.
        C: weight of the errors, or several weights to choose from.
        choose_on: largest number of training examples for the choice of C; the final machine is trained on all.
        random_state: an integer or a generator that determines the examples on which C is chosen. The fits themselves
            use a fixed seed.
        progress: called after each fit with ``"svm"``, the fits done and the total number of fits.

    Returns:
        Share of test examples classified correctly, between 0 and 1.

    Raises:
        ImportError: scikit-learn is not installed.
        TypeError: dtypes do not fit.
        ValueError: shapes do not fit, features are not finite, there is a single class, no C is given, or one is not
            positive.

    Numerics:
        Solved by scikit-learn's `LinearSVC` to a tolerance of 0.01: in the dual where C is at most 1 or there are fewer
        examples than features, and otherwise in the primal. Both have the same minimum. The dual is faster on wide
        layers with a small C; narrow layers take seconds either way. Memory holds the features in float64 and two
        copies of that size: about 1.2 GiB for 50,000 rows of 1,024 features. The computation runs on the CPU, whatever
        the device of the features.

    Source:
        Hjelm et al., ICLR 2019, section 4.1, as a measure of a representation. The choice of C is this library's.

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

    def accuracy(c: float, fitted: Labelled, held_out: Labelled, number: int) -> float:
        count, width = fitted.features.shape
        # The dual solver passes over the examples: a few times where C is small, hundreds of times where it is large.
        model = machine(C=c / width, dual=c <= 1 or count < width, tol=TOLERANCE, random_state=0)
        model.fit(fitted.features.numpy(), fitted.labels.numpy())
        score = float(model.score(held_out.features.numpy(), held_out.labels.numpy()))
        if progress is not None:
            progress("svm", number, fits)
        return score

    best = choices[0]
    if len(choices) > 1:
        fitted, held_out = _split(train, choose_on, generator)
        scores = [accuracy(c, fitted, held_out, number) for number, c in enumerate(choices, start=1)]
        best = choices[scores.index(max(scores))]
    return accuracy(best, train, test, fits)


def _choices(C: float | Iterable[float]) -> list[float]:
    # An array or a tensor without axes is iterable by type but holds a single number.
    values = C if isinstance(C, Iterable) and getattr(C, "ndim", 1) > 0 else [C]
    choices = sorted(check_number("C", c, above=0) for c in values)
    if not choices:
        raise ValueError("C must be a positive number or several to choose from, got none")
    return choices


def _split(train: Labelled, count: int, generator: torch.Generator) -> tuple[Labelled, Labelled]:
    """Split at most ``count`` random examples into four fifths to fit on and one fifth to compare values of C on."""
    order = torch.randperm(len(train.labels), generator=generator, device="cpu")[:count]
    fifth = max(1, len(order) // 5)
    held_out, fitted = order[:fifth], order[fifth:]
    if len(torch.unique(train.labels[fitted])) < 2:
        raise ValueError(
            f"train_labels must hold two classes among the {len(fitted)} examples that C is chosen on, got one; "
            "pass a single C"
        )
    return Labelled(*(t[fitted] for t in train)), Labelled(*(t[held_out] for t in train))
