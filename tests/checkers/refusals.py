"""Helpers for the tests of the checkers. Each checker is given known mistakes and must reject them.

The wrong implementations are mistakes that somebody has made or could make: a flipped sign, a forgotten log K, a
global's own example among its negatives, a mean over the wrong set of pairs, a mask that multiplies by zero, a
discriminator whose gradient reaches the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from contracts.layouts import LAYOUTS
from torch import Tensor

from infomax import PairScores

UNEQUAL = LAYOUTS[5]  # several globals; the examples have unequal numbers of locations once masked


def refuses(check: Callable[[], None], message: str | None = None) -> None:
    with pytest.raises(AssertionError, match=message):
        check()


def joint_and(scores: PairScores, reduction: str = "logsumexp") -> tuple[Tensor, Tensor]:
    return scores.reduce(reduction)  # type: ignore[arg-type, return-value]
