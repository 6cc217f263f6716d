"""Options that are True or False. Any other value is refused by name; "no" and 0.5 once counted as True."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infomax import DIMLoss, GlobalDIMLoss, InfoMaxLoss, LocalDIMLoss, estimate_mi
from infomax.critics import DotCritic
from infomax.estimators import ScoreRegularised
from infomax.evaluation import fine_tune, nearest_neighbours
from infomax.prior import NoisePrior, PriorMatchingLoss
from infomax.variants import CoordinateLoss

ROWS = torch.randn(8, 4)
LABELLED = (ROWS, torch.arange(8) % 2)

FLAGS: list[tuple[Callable[..., Any], str]] = [
    (lambda **flag: LocalDIMLoss(4, 3, units=4, **flag), "in_batch"),
    (lambda **flag: GlobalDIMLoss(4, 3, (2,), units=4, **flag), "in_batch"),
    (lambda **flag: DIMLoss(4, 3, units=4, **flag), "in_batch"),
    (lambda **flag: InfoMaxLoss(4, 4, **flag), "in_batch"),
    (lambda **flag: InfoMaxLoss(4, 4, **flag), "symmetric"),
    (lambda **flag: InfoMaxLoss(4, 4, **flag), "same_side"),
    (lambda **flag: DotCritic(4, 3, units=4, **flag), "layer_norm"),
    (lambda **flag: ScoreRegularised(**flag), "soft"),
    (lambda **flag: PriorMatchingLoss(3, **flag), "saturating"),
    (lambda **flag: NoisePrior(3, **flag), "gather"),
    (lambda **flag: CoordinateLoss(4, (2, 2), 3, **flag), "relative"),
    (lambda **flag: nearest_neighbours(ROWS, ROWS, k=1, **flag), "exclude_self"),
    (lambda **flag: fine_tune(nn.Linear(4, 4), LABELLED, LABELLED, epochs=1, **flag), "from_scratch"),
    (lambda **flag: estimate_mi(ROWS, ROWS, max_steps=0, **flag), "progress"),
]


@pytest.mark.parametrize(("call", "name"), FLAGS, ids=lambda part: part if isinstance(part, str) else "")
@pytest.mark.parametrize("value", ["no", 0.5, 1, None])
def test_what_is_no_flag_is_refused_by_name(call: Callable[..., Any], name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name} must be True or False, got {type(value).__name__}"):
        call(**{name: value})


@pytest.mark.parametrize("gather", [0.5, 1, None])
def test_gather_has_a_third_form(gather: object) -> None:
    with pytest.raises(TypeError, match=f"gather must be True, False or 'ring', got {type(gather).__name__}"):
        LocalDIMLoss(4, 3, units=4, gather=gather)  # type: ignore[arg-type]


def test_flags_of_numpy_are_flags() -> None:
    assert InfoMaxLoss(4, 4, symmetric=np.bool_(True)).symmetric
    assert DotCritic(4, 3, units=4, layer_norm=np.bool_(False)).layer_norm is False  # type: ignore[arg-type]


def test_gather_takes_flags_of_numpy() -> None:
    assert not LocalDIMLoss(4, 3, units=4, gather=np.bool_(False)).gather  # type: ignore[arg-type]
