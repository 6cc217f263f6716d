"""Tables of scores in plain loops: joint and marginal entries, and derivatives with respect to each entry.

Imports nothing of the library. ``table[i][q][j][p]`` scores global q of example i with location p of example j. Entries
are complex numbers because of the *complex step*: the derivative of an analytic f is ``imag(f(x + i h)) / h`` to the
last bit, without a difference of values. So one formula gives both the value and the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

_STEP = 1e-30


class Pairs(NamedTuple):
    """Joint scores, each with its global (i, q), and the marginal scores of each global."""

    joint: list[tuple[complex, tuple[int, int]]]
    marginal: dict[tuple[int, int], list[complex]]

    def all_marginal(self) -> list[complex]:
        return [score for scores in self.marginal.values() for score in scores]


def pairs_of(
    table: np.ndarray, mask: np.ndarray | None = None, negatives: Sequence[Collection[int]] | None = None
) -> Pairs:
    """Sort the entries of a table into joint and marginal ones.

    Args:
        table: (N, Q, N, P).
        mask: bool (N, P), True at a real location. An example without a real location is absent, with its globals.
        negatives: for each example, the examples whose locals are marginal for its globals; by default, all others.
    """
    joint: list[tuple[complex, tuple[int, int]]] = []
    marginal: dict[tuple[int, int], list[complex]] = {}
    examples, globals_, _, locations = table.shape
    for i in range(examples):
        if mask is not None and not mask[i].any():
            continue  # absent: its globals take part in no pair
        for q in range(globals_):
            marginal[i, q] = []
            for j in range(examples):
                for p in range(locations):
                    if mask is not None and not mask[j, p]:
                        continue
                    score = complex(table[i, q, j, p])
                    if i == j:
                        joint.append((score, (i, q)))
                    elif negatives is None or j in negatives[i]:
                        marginal[i, q].append(score)
    return Pairs(joint, marginal)


def value_and_gradient(
    function: Callable[[Pairs], complex],
    table: np.ndarray,
    mask: np.ndarray | None = None,
    negatives: Sequence[Collection[int]] | None = None,
) -> tuple[float, np.ndarray]:
    """Return the value of a function of the pairs of a table, and its derivative with respect to each entry."""
    table = np.asarray(table, dtype=np.complex128)
    value = function(pairs_of(table, mask, negatives)).real
    gradient = np.zeros(table.shape)
    for index in np.ndindex(table.shape):
        stepped = table.copy()
        stepped[index] += 1j * _STEP
        gradient[index] = function(pairs_of(stepped, mask, negatives)).imag / _STEP
    return value, gradient


def dot_table(local: np.ndarray, global_: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return the table of scores (N, Q, N, P) of rows local (N, P, u) and global (N, Q, u)."""
    (n, p, units), q = local.shape, global_.shape[1]
    table = np.zeros((n, q, n, p))
    for i, r, j, s in np.ndindex(table.shape):
        for u in range(units):
            table[i, r, j, s] += scale * float(global_[i, r, u]) * float(local[j, s, u])
    return table


def dot_gradients(
    gradient: np.ndarray, local: np.ndarray, global_: np.ndarray, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the rows, from the gradient of the table."""
    by_local, by_global = np.zeros(local.shape), np.zeros(global_.shape)
    for i, q, j, p in np.ndindex(gradient.shape):
        for u in range(local.shape[2]):
            by_local[j, p, u] += scale * gradient[i, q, j, p] * float(global_[i, q, u])
            by_global[i, q, u] += scale * gradient[i, q, j, p] * float(local[j, p, u])
    return by_local, by_global
