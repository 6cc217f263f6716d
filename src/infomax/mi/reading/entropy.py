"""An upper end for the entropy of labels, which no information with these labels exceeds."""

from __future__ import annotations

import math

from infomax.mi.input.sides import Side
from infomax.mi.reading.held_out import normal_quantile

__all__ = ["largest_entropy"]


def largest_entropy(side: Side, confidence: float) -> float:
    r"""Return an upper end for the entropy of a side of labels, nats; inf for a side of numbers.

    .. math:: H + \frac{L - 1}{n} + z \sqrt{\operatorname{Var}(\log p) / n}

    H is the entropy of the shares p of L labels in n rows. On average it is too low by half of the second term. Where
    each label has at least two rows, there is hardly a label that no row has, and the end is at most log L.

    Args:
        side: one of the two variables.
        confidence: in (0, 1); z is the normal quantile of that interval's upper end.

    Source:
        Miller 1955, for the bias.
    """
    if side.codes is None or side.entropy is None:
        return math.inf
    rows = len(side.codes)
    shares = side.codes.bincount().double() / rows
    log_share = shares.log()[side.codes]
    error = math.sqrt(float(log_share.var(unbiased=False)) / rows)
    high = side.entropy + (len(shares) - 1) / rows + normal_quantile(confidence) * error
    return high if side.alone else min(high, max(side.entropy, math.log(len(shares))))
