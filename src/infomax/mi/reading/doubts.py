"""What speaks against an estimate: said with the result, never averaged away."""

from __future__ import annotations

import math

__all__ = ["doubts_of", "told"]

_NEAR_LOG_N = 2.0  # nats below log n from which on a sample of n rows tells little
_BLURRED = 0.75  # nats below log(n) / 2 from which on ranks of several coordinates may hide information
_NEAR_CEILING = 0.9
_RANGES = 6.0  # standard errors of a fold between the lowest and the highest fold


def told(rows: int, *, blurred: bool = False) -> float:
    """Nats up to which rows tell the information without a flag; see `doubts_of`."""
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
    blurred: bool = False,
) -> tuple[str, ...]:
    """Reasons not to take an estimate at its word, each a line; none for most.

    Args:
        nats: the best estimate.
        rows: n, without copies.
        reading: what held-out critics say, before it is brought to at least 0.
        standard_error: of the reading.
        folds: the reading of each fold.
        estimator: name of what was read.
        ceiling: nats that this estimator cannot pass.
        most: nats that the information cannot pass: the entropy of a side of labels. Where the estimate reaches it, the
            truth is not above.
        blurred: whether a side has several coordinates, and a fold starts from their ranks. The rank of each is off by
            about 1 / sqrt(n), so a difference of coordinates cannot be told from noise that is smaller: what lies
            beyond log(n) / 2 nats in one direction is hidden.

    Example:
        >>> doubts_of(0.5, rows=1000, reading=0.5, standard_error=0.01, folds=[0.5, 0.5], estimator="nwj",
        ...           ceiling=math.inf)
        ()
    """
    found = []
    claimed = -math.inf if nats >= most else max(nats, reading)  # at most, no truth lies above
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
    if reading > _NEAR_CEILING * ceiling:
        found.append(f"the bound is near {ceiling:.2f} nats, which {estimator} cannot pass; read it with 'nwj'")
    lowest, highest = min(folds), max(folds)
    of_a_fold = standard_error * math.sqrt(len(folds))
    if highest - lowest > max(0.1, _RANGES * of_a_fold) or highest - lowest > 1 + 0.5 * abs(reading):
        found.append(f"the folds disagree: {lowest:.2f} to {highest:.2f} nats")
    if reading < -max(0.05, 3 * standard_error):
        found.append(f"the held-out critics read {reading:.2f} nats, which no information can be: they failed")
    return tuple(found)
