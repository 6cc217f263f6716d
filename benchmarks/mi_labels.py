"""Images of digits and their classes: the mutual information is unknown, but a classifier gives a lower bound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["held_out_nats", "labels"]

Samples = tuple[np.ndarray, np.ndarray]
_CLASSES = 10


def labels() -> dict[str, Callable[[int | None, int], Samples]]:
    """Return a sampler for each coding of the classes.

    A sampler takes a number of rows, or None for all, and a seed. It shuffles the rows by the seed and returns the
    first of them.
    """
    return {"digits, integers": _digits(one_hot=False), "digits, one-hot": _digits(one_hot=True)}


def _digits(*, one_hot: bool) -> Callable[[int | None, int], Samples]:
    def sample(rows: int | None, seed: int) -> Samples:
        from sklearn.datasets import load_digits

        images, classes = load_digits(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(images))[:rows]
        coded = np.eye(_CLASSES)[classes[order]] if one_hot else classes[order, None]
        return images[order], coded

    return sample


def held_out_nats(x: np.ndarray, y: np.ndarray) -> float:
    """Return a lower bound in nats: the entropy of the classes minus the held-out cross-entropy of an SVM."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.metrics import log_loss
    from sklearn.model_selection import cross_val_predict
    from sklearn.svm import SVC

    classes = y.argmax(1) if y.shape[1] > 1 else y[:, 0].astype(int)
    counts = np.bincount(classes)
    counts = counts[counts > 0]
    model = CalibratedClassifierCV(SVC(C=10.0, gamma="scale"), method="temperature", cv=3, ensemble=False)
    probabilities = cross_val_predict(model, x / 16.0, classes, cv=min(10, int(counts.min())), method="predict_proba")
    shares = counts / len(classes)
    return float(-(shares * np.log(shares)).sum() - log_loss(classes, probabilities))
