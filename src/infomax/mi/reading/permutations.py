"""A p-value of independence from trained critics, which score random pairings of their test rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.mi.input.groups import permuted_in_groups
from infomax.mi.reading.held_out import FoldCritic

__all__ = ["check_exchangeable", "p_value_of"]

_AT_ONCE = 50  # permutations scored at a time
_FEWEST = 20  # pairings, the given one included: with fewer, no p-value reaches 0.05


def check_exchangeable(groups: Tensor, tests: list[Tensor]) -> None:
    """Raise ``ValueError`` if groups of equal size are too few for 20 different pairings.

    Args:
        groups: (n,), group of each row; a group moves as a whole.
        tests: the test rows of each fold, within which groups change places.
    """
    ways = 1
    for test in tests:
        _, sizes = torch.unique(groups[test], return_counts=True)
        for alike in torch.unique(sizes, return_counts=True)[1].tolist():
            ways = min(_FEWEST, ways * math.factorial(min(alike, _FEWEST)))
    if ways < _FEWEST:
        raise ValueError(
            f"permutations needs at least {_FEWEST} ways to exchange groups of equal size within a fold, got {ways}; "
            "use the interval, or make all groups the same size"
        )


def p_value_of(
    critics: list[FoldCritic],
    tests: list[Tensor],
    permutations: int,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> float:
    r"""Return the p-value of independence: how often random pairings score at least as high as the given pairs.

    .. math:: p = \frac{1 + \#\{b : \bar T_b \ge \bar T\}}{1 + B}

    Critics are fixed, and nothing is trained again. A critic has not seen the test rows of its fold, so under
    independence all pairings within one fold are equally likely. The sum over folds is not exact. The rows of a fold
    train the critics of the other folds, so the sums of the folds may rise together, and random pairings with fixed
    critics do not show that.

    The test was tried on independent normals, with 300 samples of 100 rows, 5 + 5 coordinates, no networks and B = 99.
    With 5 folds, p was at most 0.05 in 4.7 % of the samples and at most 0.01 in 0.3 %. With 2 folds, the shares were
    3.0 % and 0.3 %. Critics that are linear in their training rows and are not weighed against a constant critic gave 9
    to 13 % and 3 to 6 % for 3 + 3 and 10 + 10 coordinates, and 4 to 6 % and 1 % for 1 + 1.

    Args:
        critics: the critic of each fold.
        tests: the test rows of each fold.
        permutations: number of random pairings B; the p-value is at least 1 / (B + 1).
        generator: generator of the pairings.
        groups: (n,), group of each row; a group moves as a whole. None for independent rows.
    """
    seen, drawn = 0.0, torch.zeros(permutations, dtype=torch.float64, device=tests[0].device)
    for critic, test in zip(critics, tests, strict=True):
        rows = test if groups is None else test[groups[test].argsort(stable=True)]
        seen += float(critic.joint_scores(rows).sum())
        for start in range(0, permutations, _AT_ONCE):
            orders = [
                torch.randperm(len(rows), generator=generator)
                if groups is None
                else permuted_in_groups(groups[rows].cpu(), generator)
                for _ in range(min(_AT_ONCE, permutations - start))
            ]
            met = rows[torch.stack(orders, 1).to(rows.device)]
            drawn[start : start + len(orders)] += critic.scores(rows, met).sum(0)
    slack = 1e-9 * max(1.0, abs(seen))
    return (1 + int((drawn >= seen - slack).sum())) / (1 + permutations)
