"""The picture of an estimate; needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from infomax.mi.result import MIEstimate

__all__ = ["draw"]


def draw(estimate: MIEstimate, ax: Axes | None = None) -> Axes:
    """Draw the training curve, the estimate of each fold and the interval.

    Args:
        estimate: what to draw.
        ax: where; a new figure when None.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if ax is None:
        try:
            from matplotlib import pyplot as plt
        except ImportError as error:
            raise ImportError("plot() needs matplotlib: pip install 'infomax[plot]'") from error
        ax = plt.subplots(figsize=(6, 3.5), layout="constrained")[1]
    ax.axhspan(estimate.low, estimate.high, color="C0", alpha=0.2, label=f"{estimate.confidence:.0%} interval")
    ax.axhline(estimate.nats, color="C0", label=f"{estimate.estimator} on test rows")
    last = max(estimate.curve_steps[-1], 1)
    ax.plot([last * 1.03] * len(estimate.fold_nats), estimate.fold_nats, "_", color="C0", markersize=10, label="folds")
    ax.plot(estimate.curve_steps, estimate.curve_nats, color="C1", label="training, on validation rows")
    if estimate.saturated:
        ax.axhline(estimate.ceiling, color="C3", linestyle="--", label="ceiling")
    ax.set_xlabel("step")
    ax.set_ylabel("mutual information, nats")
    ax.legend(fontsize="small")
    return ax
