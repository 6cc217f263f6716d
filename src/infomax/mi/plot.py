"""The picture of an estimate; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infomax._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """The values in the picture of an estimate, all in nats.

    Args:
        nats: the best estimate.
        interval: lower and upper end of its interval.
        confidence: confidence level of the interval.
        bound: the bound that held-out critics prove.
        folds: the bound of each fold.
        steps: training steps at which the networks were evaluated on the validation rows.
        curve: Donsker-Varadhan values at these steps.
        limit: the nats that the rows can certify, if the estimate is above them; else None.
    """

    nats: float
    interval: tuple[float, float]
    confidence: float
    bound: float
    folds: Sequence[float]
    steps: Sequence[int]
    curve: Sequence[float]
    limit: float | None

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw the training curve, the bound and the folds, the estimate and its interval.

        Args:
            ax: axes to draw on; a new figure when None.

        Raises:
            ImportError: matplotlib is not installed.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", package="matplotlib", by="plot()", extra="plot")
            ax = pyplot.subplots(figsize=(6, 3.5), layout="constrained")[1]
        ax.axhspan(*self.interval, color="C0", alpha=0.2, label=f"{100 * self.confidence:g}% interval")
        ax.axhline(self.nats, color="C0", label="best estimate")
        ax.axhline(self.bound, color="C2", linestyle=":", label="bound, on test rows")
        last = max(self.steps[-1], 1)
        ax.plot([last * 1.03] * len(self.folds), self.folds, "_", color="C2", markersize=10, label="bound of each fold")
        if len(self.steps) > 1:
            ax.plot(self.steps, self.curve, color="C1", label="training, on validation rows")
            ax.set_xlabel("step")
        else:
            ax.set_xticks([])
        if self.limit is not None:
            ax.axhline(self.limit, color="C3", linestyle="--", label="what these rows can certify")
        ax.set_ylabel("mutual information, nats")
        ax.legend(fontsize="small")
        return ax
