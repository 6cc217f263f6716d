"""Options of an estimate, checked once."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from infomax._checks import check_choice, check_integer, check_number, check_positive, check_sizes
from infomax.estimators import Estimator, EstimatorLike, build_estimator
from infomax.mi.closed_forms.marginals import Marginals, Ranks, Standardised
from infomax.mi.closed_forms.start import choose_start, no_start
from infomax.mi.input.inputs import MINIMUM_ROWS

__all__ = ["MARGINALS", "STARTS", "Options"]

MARGINALS: dict[str, type[Marginals]] = {"ranks": Ranks, "standardise": Standardised}
STARTS = {"copula": choose_start, "none": no_start}


@dataclass(frozen=True)
class Options:
    """The options of :func:`~infomax.estimate_mi`, without the rows.

    Raises:
        TypeError: an option of the wrong type.
        ValueError: an option out of range.
    """

    estimator: EstimatorLike = "nwj"
    objective: EstimatorLike = "jsd"
    preprocess: str = "ranks"
    start: str = "copula"
    folds: int = 5
    confidence: float = 0.95
    hidden: tuple[int, ...] = (96, 64)
    max_steps: int | None = None
    permutations: int | None = None

    def __post_init__(self) -> None:
        check_choice("preprocess", self.preprocess, MARGINALS)
        check_choice("start", self.start, STARTS)
        if not 0 < check_number("confidence", self.confidence) < 1:
            raise ValueError(f"confidence must be between 0 and 1, got {self.confidence}")
        if not 2 <= check_positive("folds", self.folds) <= MINIMUM_ROWS // 5:
            raise ValueError(f"folds must be between 2 and {MINIMUM_ROWS // 5}, got {self.folds}")
        check_sizes("hidden", self.hidden)
        if self.max_steps is not None:
            check_integer("max_steps", self.max_steps, at_least=0)
        if self.permutations is not None:
            check_positive("permutations", self.permutations)
        _check_linear("estimator", self.estimator)
        _check_linear("objective", self.objective)

    def make_estimator(self) -> Estimator:
        """Return a new copy of the estimator that is read; every reading needs its own, as it may hold state."""
        return copy.deepcopy(_check_linear("estimator", self.estimator))

    def make_objective(self) -> Estimator:
        """Return a new copy of the estimator whose loss is minimised; every member needs its own."""
        return copy.deepcopy(_check_linear("objective", self.objective))

    def steps(self, rows: int) -> int:
        """Return the largest number of training steps for this number of rows."""
        return max(700, 3 * rows // 256) if self.max_steps is None else int(self.max_steps)


def _check_linear(name: str, given: EstimatorLike) -> Estimator:
    """Return the estimator, or raise unless its optimal critic is linear in the log density ratio."""
    built = build_estimator(given, name)
    if not isinstance(built, Estimator):
        raise TypeError(
            f"{name} must say how its optimal critic relates to the log density ratio, which {type(built).__name__} "
            "does not; subclass infomax.Estimator"
        )
    if built.optimum is None or built.needs_two_critics:
        raise ValueError(
            f"{name} must have an optimal critic that is linear in the log density ratio; that of "
            f"{type(built).__name__} is not; use 'nwj' or 'dv' to read and 'jsd' to train"
        )
    return built
