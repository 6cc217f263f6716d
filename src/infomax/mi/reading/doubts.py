"""Reasons to doubt an estimate, which are reported with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Limit", "doubts_of", "limit_of"]

_NEAR_LOG_N = 2.0  # nats below log n, above which n rows certify little
_BLURRED = 0.75  # nats below log(n) / 2, above which ranks of several coordinates may hide information
_NEAR_CEILING = 0.9
_UNSEEN = 1.0  # nats that neighbours may add without a flag
_MOSTLY = 0.75  # share of an estimate that neighbours may add without a flag
_SMALL = 0.1  # nats below which the share does not matter
# Without noise, k neighbours on a curve read about log(n / k). A quarter of this rise, from 5 to 2 neighbours, is
# doubtful.
_STEEP = math.log(5 / 2) / 4
_ALONE = 0.1  # share of the rows that may have a label of their own without a flag
_RANGES = 6.0  # largest range of the folds that may be chance, in standard errors of one fold


@dataclass(frozen=True)
class Limit:
    """The nats that a number of rows can certify without a flag.

    Args:
        rows: number of rows n, without copies.
        blurred: whether a side has several coordinates, and a fold starts from their ranks. The rank of each coordinate
            has an error of about 1 / sqrt(n), so noise below this error cannot be seen in a difference of coordinates.
            Information beyond log(n) / 2 nats in one direction then stays hidden.

    Example:
        >>> round(Limit(1000).nats, 1), round(Limit(1000, blurred=True).nats, 1)
        (4.9, 2.7)
    """

    rows: int
    blurred: bool = False

    @property
    def nats(self) -> float:
        """The largest estimate that is not flagged."""
        return math.log(self.rows) / 2 - _BLURRED if self.blurred else math.log(self.rows) - _NEAR_LOG_N

    def with_rows(self, times: int) -> float:
        """Return the nats for this many times the rows."""
        return Limit(times * self.rows, self.blurred).nats

    def __str__(self) -> str:
        if self.blurred:
            return (
                f"ranks of {self.rows} rows blur several coordinates beyond log({self.rows}) / 2 - {_BLURRED:g} = "
                f"{self.nats:.1f} nats: the truth may be above; give them on scales on which they add up, such as "
                "logarithms of factors"
            )
        return (
            f"{self.rows} rows can certify little beyond log {self.rows} - {_NEAR_LOG_N:g} = {self.nats:.1f} nats: "
            "the truth may be far above"
        )


def limit_of(nats: float, *, reading: float, rows: int, most: float = math.inf, blurred: bool = False) -> Limit | None:
    """Return the limit of the rows that an estimate exceeds, or None.

    Args:
        nats: the best estimate.
        reading: the bound of held-out critics, before it is raised to at least 0.
        rows: number of rows n, without copies.
        most: nats that the information cannot exceed, the entropy of a side of labels. An estimate that reaches them
            cannot be too low, so nothing limits it.
        blurred: see `Limit`.
    """
    limits = [Limit(rows), Limit(rows, blurred=True)] if blurred else [Limit(rows)]
    return next((limit for limit in limits if nats < most and max(nats, reading) > limit.nats), None)


def doubts_of(
    nats: float,
    *,
    limit: Limit | None,
    reading: float,
    standard_error: float,
    folds: list[float],
    estimator: str,
    ceiling: float,
    alone: float = 0.0,
    high: float = math.inf,
    adjacent: float = 0.0,
    rise: float = 0.0,
    together: float = 0.0,
    alike: str = "",
) -> tuple[str, ...]:
    """Return the reasons to doubt an estimate, one line each; usually none.

    Args:
        nats: the best estimate.
        limit: the limit of the rows that the estimate exceeds; None if it exceeds none.
        reading: the bound of held-out critics, before it is raised to at least 0.
        standard_error: standard error of the reading.
        folds: the reading of each fold.
        estimator: name of the estimator of the bound.
        ceiling: nats that this estimator cannot exceed.
        alone: share of the rows whose label no other row has.
        high: upper end of the interval.
        adjacent: nats that adjacent rows prove without a critic.
        rise: nats by which the estimate rises from 5 to 2 neighbours.
        together: nats that two columns of a side prove without a critic.
        alike: two columns of a side that are too much alike for ranks, such as "columns 0 and 1 of x".

    Example:
        >>> doubts_of(0.5, limit=None, reading=0.5, standard_error=0.01, folds=[0.5, 0.5], estimator="nwj",
        ...           ceiling=math.inf)
        ()
    """
    found = [] if limit is None else [str(limit)]
    beyond = nats - max(0.0, reading)
    if beyond > _UNSEEN or (nats > _SMALL and beyond > _MOSTLY * nats):
        found.append(f"nearest neighbours find {beyond:.2f} nats beyond the held-out critics: the truth may be above")
    if rise > _STEEP:
        found.append(
            f"the estimate rises by {rise:.2f} nats or more from 5 to 2 neighbours, as it does where one side is a "
            "function of the other without noise: the truth may be far above or infinite"
        )
    if adjacent > high:
        found.append(
            f"rows that are adjacent on one side are alike on the other, which takes at least {adjacent:.2f} nats: the "
            "critics missed this, and the truth may be far above"
        )
    if together > high:
        found.append(
            f"a table of two columns against the other side takes at least {together:.2f} nats: the critics missed "
            "this interaction, and the truth may be far above"
        )
    if alike:
        found.append(
            f"{alike} differ by a few ranks, which hide what their difference tells: the truth may be above; pass "
            "their difference or ratio as a column"
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
