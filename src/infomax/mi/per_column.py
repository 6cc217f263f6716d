"""Mutual information of every column with a target, called like scikit-learn's ``mutual_info_*`` functions."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import ArrayLike

from infomax._checks import check_integer
from infomax._random import RandomState, as_generator
from infomax.mi.estimate import estimate_mi
from infomax.mi.input.alignment import check_alignment
from infomax.mi.input.columns import Column, as_columns
from infomax.mi.input.groups import as_groups
from infomax.mi.input.inputs import Values, columns_of, settled
from infomax.mi.input.sides import as_side
from infomax.mi.options import Options

__all__ = ["mutual_info"]


def mutual_info(
    X: Values,
    y: Values,
    *,
    discrete: str = "auto",
    groups: ArrayLike | None = None,
    max_steps: int = 0,
    random_state: RandomState = 0,
    n_jobs: int | None = None,
) -> np.ndarray:
    r"""Estimate the mutual information of each column with a target, :math:`I(X_j; Y)`, nats.

    Each column is passed to :func:`~infomax.estimate_mi` by itself. By default no networks are trained: the estimate
    comes from closed forms, and from nearest neighbours corrected by them. As a ``score_func`` of scikit-learn's
    ``SelectKBest`` the function ranks features of any kind. One warning names the columns whose estimate is flagged,
    with the reasons; :func:`~infomax.estimate_mi` of such a column returns its interval and its bound.

    Args:
        X: (n, d), array, tensor or data frame.
        y: (n,) or (n, dy).
        discrete: as in :func:`~infomax.estimate_mi`; ``"x"`` treats all columns of X as labels.
        groups: (n,), group of each row, as in :func:`~infomax.estimate_mi`.
        max_steps: largest number of training steps of the networks for each column; 0 trains no network.
        random_state: source of one seed for all columns, so the folds are the same for all columns with the same groups
            of equal rows.
        n_jobs: number of columns at a time, each in a thread; -1 for as many as there are processors, None for one. It
            does not change the result.

    Returns:
        (d,), float64, not below 0; 0 for a constant column.

    Warns:
        UserWarning: there is reason to doubt the estimate of a column; see :attr:`MIEstimate.doubts`.

    Raises:
        TypeError: as :func:`~infomax.estimate_mi`; ``n_jobs`` is not an integer.
        ValueError: as :func:`~infomax.estimate_mi`; ``n_jobs`` is 0 or below -1.

    Source:
        scikit-learn's functions use Ross 2014 and Kraskov, Stögbauer & Grassberger 2004.

    Example:
        >>> from infomax.mi import mutual_info
        >>> X = torch.randn(500, 3)
        >>> int(mutual_info(X, X[:, 1] + torch.randn(500)).argmax())
        1
    """
    if n_jobs is not None and (check_integer("n_jobs", n_jobs) == 0 or n_jobs < -1):
        raise ValueError(f"n_jobs must be a positive number of threads, -1 for all processors or None, got {n_jobs}")
    seed = int(torch.randint(2**62, (), generator=as_generator(random_state), device="cpu"))

    options = Options(max_steps=max_steps)
    check_alignment(X=X, y=y, groups=groups)
    columns, of_y = _checked(X, y, discrete)
    if groups is not None:
        as_groups(groups, len(of_y[0].values), options.folds)

    def estimate(column: Column) -> tuple[float, tuple[str, ...]]:
        if bool((column.values == column.values[:1]).all()):
            return 0.0, ()
        found = estimate_mi([column], of_y, discrete=discrete, groups=groups, max_steps=max_steps, random_state=seed)
        return found.nats, found.doubts

    threads = (os.cpu_count() or 1) if n_jobs == -1 else n_jobs or 1
    if threads == 1:
        found = [estimate(column) for column in columns]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(estimate, columns))
    flags = [
        f"{column.called}: {' and '.join(doubts)}" for column, (_, doubts) in zip(columns, found, strict=True) if doubts
    ]
    if flags:
        warnings.warn(
            f"the estimates of {len(flags)} of {len(columns)} columns are flagged: {'; '.join(flags)}. estimate_mi of "
            "one column returns its interval and its bound",
            stacklevel=2,
        )
    return np.array([nats for nats, _ in found])


def _checked(X: Values, y: Values, discrete: str) -> tuple[list[Column], list[Column]]:
    """Return the columns of both sides, each of X settled by itself; check y even where no column of X varies."""
    if y is None:
        raise TypeError("y must be given together with X, got None")
    columns = as_columns("X", X)
    if not columns:
        raise ValueError("X must have at least one column, got none")
    columns = [column for each in columns for column in settled([each], discrete in ("x", "both"))]
    columns, of_y = columns_of(columns, y, discrete=discrete, name="X")
    as_side("y", of_y)
    return columns, of_y
