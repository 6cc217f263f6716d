"""Reasons to doubt an estimate, which are reported with it."""

from __future__ import annotations

import math

__all__ = ["doubts_of", "told"]

_NEAR_LOG_N = 2.0  # nats below log n, above which n rows certify little
_BLURRED = 0.75  # nats below log(n) / 2, above which ranks of several coordinates may hide information
_NEAR_CEILING = 0.9
_UNSEEN = 1.0  # nats that neighbours may add without a flag
_ALONE = 0.1  # share of the rows that may have a label of their own without a flag
_RANGES = 6.0  # largest range of the folds that may be chance, in standard errors of one fold


def told(rows: int, *, blurred: bool = False) -> float:
    """Return the nats that this number of rows can certify without a flag; see `doubts_of`."""
    return math.log(rows) / 2 - _BLURRED if blurred else math.log(rows) - _NEAR_LOG_N


def doubts_of(
    nats: float,
    *,
    rows: int,
    reading: float,
    standard_error: float,
    folds: list[float],
    estimator: str,
    ceiling: float,
    most: float = math.inf,
    alone: float = 0.0,
    blurred: bool = False,
) -> tuple[str, ...]:
    """Return the reasons to doubt an estimate, one line each; usually none.

    Args:
        nats: the best estimate.
        rows: number of rows n, without copies.
        reading: the bound of held-out critics, before it is raised to at least 0.
        standard_error: standard error of the reading.
        folds: the reading of each fold.
        estimator: name of the estimator of the bound.
        ceiling: nats that this estimator cannot exceed.
        most: nats that the information cannot exceed, the entropy of a side of labels. An estimate that reaches them
            cannot be too low.
        alone: share of the rows whose label no other row has.
        blurred: whether a side has several coordinates, and a fold starts from their ranks. The rank of each coordinate
            has an error of about 1 / sqrt(n), so noise below this error cannot be seen in a difference of coordinates.
            Information beyond log(n) / 2 nats in one direction then stays hidden.

    Example:
        >>> doubts_of(0.5, rows=1000, reading=0.5, standard_error=0.01, folds=[0.5, 0.5], estimator="nwj",
        ...           ceiling=math.inf)
        ()
    """
    found = []
    claimed = -math.inf if nats >= most else max(nats, reading)  # an estimate at its maximum cannot be too low
    if claimed > told(rows):
        found.append(
            f"{rows} rows can certify little beyond log {rows} - {_NEAR_LOG_N:g} = {told(rows):.1f} "
            "nats: the truth may be far above"
        )
    elif blurred and claimed > told(rows, blurred=True):
        found.append(
            f"ranks of {rows} rows blur several coordinates beyond log({rows}) / 2 - {_BLURRED:g} = "
            f"{told(rows, blurred=True):.1f} nats: the truth may be above; give them on scales "
            "on which they add up, such as logarithms of factors"
        )
    if nats - max(0.0, reading) > _UNSEEN:
        found.append(
            f"nearest neighbours find {nats - max(0.0, reading):.2f} nats beyond the held-out critics: the truth may "
            "be above"
        )
    if alone > _ALONE:
        found.append(
            f"{100 * alone:.0f} % of the rows have a label that no other row has, and critics cannot learn such "
            "labels: the truth may be far above; drop columns that identify rows, or merge rare labels"
        )
    if reading > _NEAR_CEILING * ceiling:
        found.append(f"the bound is near {ceiling:.2f} nats, which {estimator} cannot pass; read it with 'nwj'")
    lowest, highest = min(folds), max(folds)
    of_a_fold = standard_error * math.sqrt(len(folds))
    if highest - lowest > max(0.1, _RANGES * of_a_fold) or highest - lowest > 1 + 0.5 * abs(reading):
        found.append(f"the folds disagree: {lowest:.2f} to {highest:.2f} nats")
    if reading < -max(0.05, 3 * standard_error):
        found.append(
            f"the held-out critics read {reading:.2f} nats, but information is never negative: the critics failed"
        )
    return tuple(found)
