"""What an estimate of mutual information comes with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MIEstimate"]

_NEAR_CEILING = 0.9


@dataclass(frozen=True)
class MIEstimate:
    """Mutual information of two variables, estimated from rows that its critics never saw.

    Attributes:
        nats: the estimate, not below 0.
        low: lower end of the interval, nats.
        high: upper end of the interval, nats.
        confidence: how often such an interval is meant to hold the bound that the critics reach.
        standard_error: of the estimate, nats.
        estimator: name of what was read.
        bound: ``"lower"`` if the estimate is in expectation at most the mutual information, ``"upper"`` or ``"none"``.
        ceiling: nats that the estimator cannot pass, or can hardly certify, with as many pairs.
        rows: n.
        dims: coordinates of x and of y that vary.
        fold_nats: the estimate of each fold, of which ``nats`` is the mean.
        starts: the closed-form critic each fold began with.
        weights: of no critic, the start, and each kind of network in each fold's critic.
        curve_steps: steps at which the validation rows were looked at.
        curve_nats: Donsker-Varadhan on the validation rows at those steps.
        seconds: time it took.
    """

    nats: float
    low: float
    high: float
    confidence: float
    standard_error: float
    estimator: str
    bound: str
    ceiling: float
    rows: int
    dims: tuple[int, int]
    fold_nats: list[float]
    starts: list[str]
    weights: list[list[float]]
    curve_steps: list[int]
    curve_nats: list[float]
    seconds: float

    @property
    def bits(self) -> float:
        """The estimate in bits."""
        return self.nats / math.log(2)

    @property
    def saturated(self) -> bool:
        """Whether the estimate is so near its ceiling that the truth may be far above it."""
        return self.high > _NEAR_CEILING * self.ceiling

    def __float__(self) -> float:
        return self.nats

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the training curve, the estimate of each fold and the interval.

        Args:
            ax: where to draw; a new figure when None.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from infomax.mi.plot import draw

        return draw(self, ax)

    def __str__(self) -> str:
        return f"{self.nats:.3f} nats [{self.low:.3f}, {self.high:.3f}]"

    def __repr__(self) -> str:
        kind = {"lower": "a lower bound", "upper": "an upper bound"}.get(self.bound, "no bound")
        lines = [
            f"mutual information: {self.nats:.3f} nats = {self.bits:.3f} bits",
            f"  {self.confidence:.0%} interval: {self.low:.3f} to {self.high:.3f} nats",
            f"  read by {self.estimator}, {kind}, on rows the critics never saw",
            f"  {self.rows} rows, {self.dims[0]} x {self.dims[1]} coordinates, {self.seconds:.0f} s",
            f"  critics began as: {', '.join(dict.fromkeys(self.starts))}",
        ]
        if self.saturated:
            lines.append(f"  SATURATED near {self.ceiling:.2f} nats: the truth may be far above; more rows raise it")
        return "\n".join(lines)
