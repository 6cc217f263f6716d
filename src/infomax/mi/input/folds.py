"""Cross-fitting: every row is scored once, by a critic that was neither trained nor chosen on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Fold", "make_folds"]

_VALIDATION = 0.15
_LEAST_PART = 8
_LEAST_VALIDATION = 120  # validation rows, up to a third of the rows: with fewer, a choice is mostly chance


class Fold(NamedTuple):
    """Three disjoint parts of the rows."""

    train: Tensor
    """Rows on which transforms and critics are trained."""
    validation: Tensor
    """Rows on which training is stopped, candidates are chosen and scores are calibrated."""
    test: Tensor
    """Rows on which the bound is read."""

    def to(self, device: torch.device) -> Fold:
        """Return the same parts on a device."""
        return Fold(*(part.to(device) for part in self))


def make_folds(rows: int, folds: int, generator: torch.Generator, groups: Tensor | None = None) -> list[Fold]:
    """Split rows at random so that each row is a test row of exactly one fold.

    All folds have equally many training rows and equally many validation rows, so a fold with one test row fewer leaves
    one row out. With groups, these parts of all folds are cut to the smallest. Of the rows that are not test rows, 15 %
    validate; where these are fewer than 120, up to a third validate.

    Args:
        rows: number of rows n.
        folds: number of folds.
        generator: generator of the shuffle.
        groups: (n,), group numbers; no group is split over the parts of a fold. None without groups.

    Raises:
        ValueError: the groups are so large that a part of a fold would have fewer than 8 rows.

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
    """Deal whole groups, each to the fold, and then to the part, that lacks the largest share of its planned rows."""
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
    """Return the rows of each group, with the groups in random order."""
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
