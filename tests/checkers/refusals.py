"""Every checker is fed known mistakes and must refuse them: no checker counts until it has rejected a wrong answer.

A wrong implementation here is one that somebody has shipped, or could: a flipped sign, a forgotten log K, a global's
own example among its negatives, a mean over the wrong set, a mask that multiplies, a discriminator that leaks.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from contracts.layouts import LAYOUTS
from torch import Tensor

from infomax import PairScores

UNEQUAL = LAYOUTS[5]  # several globals; with its mask, unequal numbers of locations


def refuses(check: Callable[[], None], message: str | None = None) -> None:
    with pytest.raises(AssertionError, match=message):
        check()


def joint_and(scores: PairScores, reduction: str = "logsumexp") -> tuple[Tensor, Tensor]:
    return scores.reduce(reduction)  # type: ignore[arg-type, return-value]
