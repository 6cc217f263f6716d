"""Cross-fitting: every row is reported on once, by a critic that neither trained on it nor was chosen by it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Fold", "make_folds"]

_VALIDATION = 0.15
_LEAST_PART = 8
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


def make_folds(rows: int, folds: int, generator: torch.Generator, groups: Tensor | None = None) -> list[Fold]:
    """Split rows at random so that the test parts of all folds are the rows, each once.

    Training and validation parts have the same size in every fold, so a fold whose test part is a row smaller leaves
    one row out of them; with groups, all folds are cut to the smallest. Of the rows that are not test rows 15 %
    validate, and up to a third where that is fewer than 120.

    Args:
        rows: n.
        folds: how many.
        generator: of the shuffle.
        groups: (n,), numbers of groups, none of which is split over the parts of a fold; none when None.

    Raises:
        ValueError: groups so large that a part of a fold would hold next to nothing.

    Example:
        >>> folds = make_folds(100, 5, torch.Generator().manual_seed(0))
        >>> [len(part) for part in folds[0]]
        [54, 26, 20]
        >>> sorted(row for fold in folds for row in fold.test.tolist()) == list(range(100))
        True
    """
    if groups is not None:
        return _grouped(rows, folds, generator, groups.cpu())
    order = torch.randperm(rows, generator=generator)
    tests = list(torch.tensor_split(order, folds))
    rest = rows - max(len(test) for test in tests)
    validation = _validation_rows(rest)
    made = []
    for k, test in enumerate(tests):
        others = torch.cat(tests[k + 1 :] + tests[:k])
        shuffled = others[torch.randperm(len(others), generator=generator)]
        made.append(Fold(shuffled[validation:rest], shuffled[:validation], test))
    return made


def _validation_rows(rest: int) -> int:
    return max(2, round(_VALIDATION * rest), min(_LEAST_VALIDATION, rest // 3))


def _grouped(rows: int, folds: int, generator: torch.Generator, groups: Tensor) -> list[Fold]:
    """Whole groups to the fold, and then to the part, that lacks the largest share of its rows."""
    members = _members(groups, generator)
    tests = _dealt(members, [rows / folds] * folds)
    made = []
    for test in tests:
        others = [group for other in tests if other is not test for group in other]
        shuffled = [others[k] for k in torch.randperm(len(others), generator=generator).tolist()]
        rest = sum(map(len, others))
        validation = _validation_rows(rest)
        train_groups, validation_groups = _dealt(shuffled, [rest - validation, validation])
        made.append(Fold(*(_together(part, generator) for part in (train_groups, validation_groups, test))))
    least = [min(len(fold[part]) for fold in made) for part in range(3)]
    if min(least) < _LEAST_PART:
        raise ValueError(
            f"groups must leave at least {_LEAST_PART} rows to train, validate and test in each of {folds} folds, got "
            f"{least[0]}, {least[1]} and {least[2]}; use fewer folds or smaller groups"
        )
    return [Fold(fold.train[: least[0]], fold.validation[: least[1]], fold.test) for fold in made]


def _members(groups: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Rows of each group, in a random order of groups."""
    order = groups.argsort(stable=True)
    _, counts = torch.unique_consecutive(groups[order], return_counts=True)
    parts = torch.split(order, counts.tolist())
    return [parts[k] for k in torch.randperm(len(parts), generator=generator).tolist()]


def _dealt(members: list[Tensor], sizes: list[float]) -> list[list[Tensor]]:
    dealt: list[list[Tensor]] = [[] for _ in sizes]
    lacking = list(sizes)
    for group in sorted(members, key=len, reverse=True):
        k = max(range(len(sizes)), key=lambda part: lacking[part] / sizes[part])
        dealt[k].append(group)
        lacking[k] -= len(group)
    return dealt


def _together(members: list[Tensor], generator: torch.Generator) -> Tensor:
    rows = torch.cat(members) if members else torch.zeros(0, dtype=torch.long)
    return rows[torch.randperm(len(rows), generator=generator)]
