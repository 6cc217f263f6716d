"""Cross-fitting: every row is reported on once, by a critic that neither trained on it nor was chosen by it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Fold", "make_folds"]

_VALIDATION = 0.15
_LEAST_VALIDATION = 120  # rows below which a choice is chance, where they are not more than a third


class Fold(NamedTuple):
    """Three disjoint parts of the rows."""

    train: Tensor
    """Rows that fit transforms and critics."""
    validation: Tensor
    """Rows that decide when to stop, what to keep and how to calibrate."""
    test: Tensor
    """Rows that are reported on."""

    def to(self, device: torch.device) -> Fold:
        """Return the same parts on a device."""
        return Fold(*(part.to(device) for part in self))


def make_folds(rows: int, folds: int, generator: torch.Generator) -> list[Fold]:
    """Split rows at random so that the test parts of all folds are the rows, each once.

    Training and validation parts have the same size in every fold. Of the rows that are not test rows 15 % validate,
    and up to a third where that is fewer than 120.

    Args:
        rows: n.
        folds: how many.
        generator: of the shuffle.

    Example:
        >>> folds = make_folds(100, 5, torch.Generator().manual_seed(0))
        >>> [len(part) for part in folds[0]]
        [54, 26, 20]
        >>> sorted(row for fold in folds for row in fold.test.tolist()) == list(range(100))
        True
    """
    order = torch.randperm(rows, generator=generator)
    tests = list(torch.tensor_split(order, folds))
    rest = rows - max(len(test) for test in tests)
    validation = max(2, round(_VALIDATION * rest), min(_LEAST_VALIDATION, rest // 3))
    made = []
    for k, test in enumerate(tests):
        others = torch.cat(tests[k + 1 :] + tests[:k])
        shuffled = others[torch.randperm(len(others), generator=generator)]
        made.append(Fold(shuffled[validation:rest], shuffled[:validation], test))
    return made
