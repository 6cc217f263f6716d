"""Mutual information of every column with a target, in the manner of scikit-learn's functions of that name."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from infomax._random import RandomState, as_generator
from infomax.mi.estimate import estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.inputs import Values

__all__ = ["mutual_info"]


def mutual_info(
    X: Values,
    y: Values,
    *,
    discrete: str = "auto",
    groups: ArrayLike | None = None,
    max_steps: int = 0,
    random_state: RandomState = 0,
) -> np.ndarray:
    r"""Estimate what each column tells of a target by itself: :math:`I(X_j; Y)`, nats.

    Each column goes through :func:`~infomax.estimate_mi`, without networks unless asked for: closed forms, and nearest
    neighbours corrected by them. As a ``score_func`` of scikit-learn's ``SelectKBest`` it ranks features of any kind.

    Args:
        X: (n, d), array, tensor or data frame.
        y: (n,) or (n, dy).
        discrete: as in :func:`~infomax.estimate_mi`; ``"x"`` takes all columns of X for labels.
        groups: (n,), rows that depend on each other.
        max_steps: training steps of networks for each column.
        random_state: decides the folds, which are the same for all columns.

    Returns:
        (d,), float64, not below 0; 0 for a constant column.

    Raises:
        TypeError: as :func:`~infomax.estimate_mi`.
        ValueError: as :func:`~infomax.estimate_mi`.

    Source:
        Ross 2014 and Kraskov, Stögbauer & Grassberger 2004 are what scikit-learn's functions take.

    Example:
        >>> from infomax.mi import mutual_info
        >>> X = torch.randn(500, 3)
        >>> mutual_info(X, X[:, 1] + torch.randn(500)).argmax()
        np.int64(1)
    """
    seed = int(torch.randint(2**62, (), generator=as_generator(random_state)))
    found = []
    for column in as_columns("X", X):
        if bool((column.values == column.values[:1]).all()):
            found.append(0.0)
            continue
        values: Tensor | np.ndarray = column.values
        if column.labels:
            values = column.values.numpy(force=True).astype(str)
        found.append(
            estimate_mi(values, y, discrete=discrete, groups=groups, max_steps=max_steps, random_state=seed).nats
        )
    return np.array(found)
