"""The result of an estimate of mutual information."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from infomax.mi.bits import Bits
from infomax.mi.input.alignment import check_alignment
from infomax.mi.input.inputs import Values
from infomax.mi.plot import Picture
from infomax.mi.reading.best import beyond_chance
from infomax.mi.reading.doubts import Limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MIEstimate"]


@dataclass(frozen=True, eq=False, repr=False)
class MIEstimate(float):
    """An estimate of the mutual information of two variables: a float, in nats, with its interval and its bound.

    It compares, rounds, formats and serialises as its ``nats``.

    Attributes:
        nats: the best estimate, not below 0.
        low: lower end of an interval meant to hold the truth, nats.
        high: upper end of that interval, nats.
        confidence: confidence level: how often such an interval is meant to hold the truth.
        bound: the bound that critics prove on rows that they have not seen, nats, not below 0.
        bound_low: lower end of an interval meant to hold the value that these critics reach on new data, nats.
        bound_high: upper end of that interval, nats.
        bound_kind: ``"lower"`` if the bound is in expectation at most the mutual information, ``"asymptotic"`` if so in
            large samples, ``"upper"`` if it is at least the mutual information, ``"none"`` if it is no bound.
        estimator: name of the estimator that reads the bound.
        method: how ``nats`` was found.
        doubts: the reasons to doubt the estimate, one line each; usually empty.
        limit: the nats that n rows can certify, as ``limit.nats``, if the estimate is above them; None if it is not.
        rows: number of rows n.
        dims: numbers of coordinates of x and of y that vary.
        entropies: entropies of x and of y in nats; None for a side that does not consist of labels only.
        pointwise: (n,), the held-out critics' log density ratio of each row, nats; its mean is near ``bound``.
        p_value: p-value of independence; None without permutations.
        fold_nats: the bound of each fold; ``bound`` is their weighted mean, raised to at least 0.
        starts: name of the closed form that each fold's critic started from.
        weights: for each fold, the weights of a constant critic, the start, and each kind of network.
        curve_steps: training steps at which the networks were evaluated on the validation rows.
        curve_nats: Donsker-Varadhan values on the validation rows at these steps, nats.
        seconds: time that the estimate took.
        scorer: function that :meth:`score` calls.
        dims_given: number of coordinates of the third variable that vary; None without ``given``.
        notes: how the data were read, where this may not be what was meant; shown by ``repr``.

    Example:
        >>> from infomax import estimate_mi
        >>> estimate = estimate_mi(torch.arange(60.0), torch.arange(60.0) % 7, random_state=0, max_steps=0)
        >>> float(estimate) == estimate.nats == max(estimate, 0.0)
        True
    """

    nats: float
    low: float
    high: float
    confidence: float
    bound: float
    bound_low: float
    bound_high: float
    bound_kind: str
    estimator: str
    method: str
    doubts: tuple[str, ...]
    limit: Limit | None
    rows: int
    dims: tuple[int, int]
    entropies: tuple[float | None, float | None]
    pointwise: Tensor
    p_value: float | None
    fold_nats: list[float]
    starts: list[str]
    weights: list[list[float]]
    curve_steps: list[int]
    curve_nats: list[float]
    seconds: float
    scorer: Callable[..., Tensor]
    dims_given: int | None = None
    notes: tuple[str, ...] = ()

    def __new__(cls, nats: float, **_: Any) -> MIEstimate:  # noqa: PYI034 (typing.Self is Python 3.11's)
        """Return a float with the value of ``nats``."""
        return super().__new__(cls, nats)

    @property
    def bits(self) -> Bits:
        """The estimate in bits, a float with ``low``, ``high``, ``bound``, ``bound_low`` and ``bound_high`` in bits."""
        ends = {name: getattr(self, name) / math.log(2) for name in ("low", "high", "bound", "bound_low", "bound_high")}
        return Bits(self.nats / math.log(2), **ends)

    @property
    def correlation(self) -> float:
        r"""The correlation of two normal variables with this information, :math:`\sqrt{1 - e^{-2 I}}`, in [0, 1).

        Source:
            Linfoot 1957, "An informational measure of correlation".
        """
        return math.sqrt(-math.expm1(-2 * self.nats))

    @property
    def normalised(self) -> float:
        r"""The information as a share of its maximum, :math:`I / \min(H(X), H(Y))`, in [0, 1]; a side must be labels.

        Raises:
            ValueError: neither side consists of labels only, so the information has no maximum.
        """
        known = [entropy for entropy in self.entropies if entropy is not None]
        if not known:
            raise ValueError(
                "normalised needs a side of labels, whose entropy bounds the information, got numbers on both; use "
                "correlation, or discrete= where numbers are labels"
            )
        return min(1.0, self.nats / min(known))

    def score(self, x: Values, y: Values, *, given: Values | None = None) -> Tensor:
        """Return the log density ratio of new pairs, which took no part in the estimate: the mean over folds.

        If the estimate had a data frame, the columns of a new data frame are matched by name, in any order. All other
        columns are matched by position.

        Args:
            x: (m, dx), the columns that x had in the estimate.
            y: (m, dy), likewise.
            given: (m, dz), if the estimate had ``given``.

        Returns:
            (m,), nats.

        Raises:
            TypeError: ``given`` where the estimate had none, or the other way round.
            ValueError: other names of columns, another number of columns, lengths that differ, or the same index labels
                of pandas in another order.
        """
        check_alignment(x=x, y=y, given=given)
        return self.scorer(x, y, given)

    @property
    def saturated(self) -> bool:
        """Whether there are reasons to doubt the estimate, such as folds that disagree; ``doubts`` lists them."""
        return bool(self.doubts)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the training curve, the bound of each fold, the estimate and its interval.

        Args:
            ax: where to draw; a new figure when None.

        Raises:
            ImportError: matplotlib is not installed.
        """
        picture = Picture(
            self.nats, (self.low, self.high), self.confidence, self.bound, self.fold_nats, self.curve_steps,
            self.curve_nats, None if self.limit is None else self.limit.nats,
        )  # fmt: skip
        return picture.draw(ax)

    def _more_rows(self) -> str:
        """Return a sentence that says what a larger sample would bring."""
        width = (self.high - self.low) / 2
        steady = sum(beyond_chance(self.nats, sum(self.dims))) / 2  # does not depend on the number of rows
        if self.limit is not None:
            return f"with ten times the rows, {self.limit.with_rows(10):.1f} nats could be reported without a flag"
        if self.nats == 0.0:
            return f"with four times the rows, {width / 2:.3f} nats or more could be told apart from 0"
        after = steady + max(0.0, width - steady) / 2
        return f"with four times the rows, the interval would be about {after:.3f} nats to each side"

    def __str__(self) -> str:
        flag = f"  SATURATED: {'; '.join(self.doubts)}" if self.saturated else ""
        return f"{self.nats:.3f} nats [{self.low:.3f}, {self.high:.3f}]{flag}"

    def __repr__(self) -> str:
        side = {
            "lower": "a lower bound",
            "asymptotic": "a lower bound in large samples",
            "upper": "an upper bound",
        }.get(self.bound_kind, "no bound")
        bound = f"{self.bound:.3f} [{self.bound_low:.3f}, {self.bound_high:.3f}]"
        conditional, given = ("", "") if self.dims_given is None else ("conditional ", f" given {self.dims_given}")
        lines = [
            f"{conditional}mutual information: {self.nats:.3f} nats = {self.bits:.3f} bits",
            f"  {100 * self.confidence:g}% interval: {self.low:.3f} to {self.high:.3f} nats, by {self.method}",
            f"  held-out critics read {bound} by {self.estimator}, {side}",
            f"  {self.rows} rows, {self.dims[0]} x {self.dims[1]} coordinates{given}, {self.seconds:.0f} s",
            f"  critics began as: {', '.join(dict.fromkeys(self.starts))}",
        ]
        if self.p_value is not None:
            lines.append(f"  independence: p = {self.p_value:.3g}, by permutations")
        lines.append(f"  {self._more_rows()}")
        lines += [f"  NOTE: {note}" for note in self.notes]
        lines += [f"  SATURATED: {doubt}" for doubt in self.doubts]
        return "\n".join(lines)
