"""Options of a term whose weight is 0 are checked like those of the other terms, and valid options keep working."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from infomax import DIMLoss, DotCritic, InfoNCE, PriorMatchingLoss

LOCAL_ALONE = {"alpha": 0.0, "beta": 1.0, "gamma": 0.0}
GLOBAL_ALONE = {"alpha": 1.0, "beta": 0.0, "gamma": 0.0}
PRIOR_ALONE = {"alpha": 0.0, "beta": 0.0, "gamma": 1.0}


def build(weights: dict[str, float], **options: Any) -> DIMLoss:
    given: dict[str, Any] = {"local_size": (2, 2), "units": 4} | options
    return DIMLoss(3, 4, **weights, **given)


@pytest.mark.parametrize(
    ("weights", "options", "error", "message"),
    [
        (GLOBAL_ALONE, {"sample_locations": 0}, ValueError, "sample_locations must be at least 1, got 0"),
        (PRIOR_ALONE, {"sample_locations": 0.5}, TypeError, "sample_locations must be an integer, got float"),
        (LOCAL_ALONE, {"prior": "gamma"}, ValueError, "prior must be one of normal, uniform, got 'gamma'"),
        (GLOBAL_ALONE, {"prior": 3}, TypeError, "prior must be one of normal, uniform, got int"),
        (LOCAL_ALONE, {"prior": nn.Linear(4, 1)}, TypeError, "prior must be called with the global features and gener"),
        (PRIOR_ALONE, {"estimator": "mi"}, ValueError, "estimator must be one of .*infonce.*, got 'mi'"),
        (PRIOR_ALONE, {"estimator": None}, TypeError, "estimator must be a short name.*NoneType"),
        (PRIOR_ALONE, {"critic": "mlp"}, ValueError, "critic must be one of .*concat.*, got 'mlp'"),
        (PRIOR_ALONE, {"critic": 3}, TypeError, "critic must be a short name.*int"),
        (PRIOR_ALONE, {"units": 0}, ValueError, "units must be at least 1, got 0"),
        (PRIOR_ALONE, {"critic": "bilinear"}, ValueError, "units has no meaning for the bilinear critic, got 4"),
        (
            PRIOR_ALONE,
            {"critic": partial(DotCritic, units=8)},
            ValueError,
            "units belongs to a critic's short name, got 4",
        ),
        (PRIOR_ALONE, {"sample_negatives": -1}, ValueError, "sample_negatives must be at least 1, got -1"),
        (PRIOR_ALONE, {"sample_negatives": 2, "gather": True}, ValueError, "sample_negatives must be None with gather"),
        (
            PRIOR_ALONE,
            {"sample_negatives": 2, "in_batch": False},
            ValueError,
            "sample_negatives must be None with in_batch=False",
        ),
        (PRIOR_ALONE, {"gather": "rung"}, ValueError, "gather must be True, False or 'ring', got 'rung'"),
        (PRIOR_ALONE, {"process_group": 3}, TypeError, "process_group must be a torch.distributed.ProcessGroup"),
        (LOCAL_ALONE, {"local_size": (2, 0)}, ValueError, "local_size must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused_by_name(
    weights: dict[str, float], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(weights, **options)
    with pytest.raises(error, match=message):
        build({"alpha": 1.0, "beta": 1.0, "gamma": 1.0}, **options)


@pytest.mark.parametrize("weights", [LOCAL_ALONE, GLOBAL_ALONE, PRIOR_ALONE])
@pytest.mark.parametrize(
    "options",
    [
        {"sample_locations": 2, "sample_negatives": 1},
        {"prior": "normal", "critic": "bilinear", "units": None},
        {"estimator": InfoNCE, "critic": partial(DotCritic, units=4), "units": None},
        {"prior": PriorMatchingLoss(4, hidden=(4,)), "estimator": "jsd"},
    ],
)
def test_a_sweep_over_weights_goes_on_with_options_of_all_terms(
    weights: dict[str, float], options: dict[str, Any]
) -> None:
    terms = build(weights, **options)(torch.randn(3, 3, 2, 2), torch.randn(3, 4))
    assert terms.loss.isfinite()
    assert [term is not None for term in (terms.global_, terms.local, terms.prior)] == [
        weight > 0 for weight in weights.values()
    ]


def test_nothing_is_made_or_drawn_for_a_term_without_weight() -> None:
    """Factories are not called, and torch's random state advances only for the terms that exist."""
    calls = []

    def made(*dims: int) -> nn.Module:
        calls.append(dims)
        return DotCritic(*dims, units=4)

    build(PRIOR_ALONE, critic=made, units=None, estimator=lambda: calls.append(()))
    assert not calls
    states = []
    make: list[Callable[[], object]] = [
        lambda: build(PRIOR_ALONE, prior=PriorMatchingLoss(4)),
        lambda: PriorMatchingLoss(4),
    ]
    for one in make:
        torch.manual_seed(0)
        one()
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_critic_of_one_side_serves_where_the_other_term_is_off() -> None:
    """The critic has the dimensions of the local term, which the global term would refuse."""
    build(LOCAL_ALONE, critic=DotCritic(3, 4, units=4), units=None)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.ones(4, 2, 2), TypeError, "mask must be a bool tensor"),
        (torch.ones(3, 2, 2, dtype=torch.bool), ValueError, r"mask must have the shape \(4, 2, 2\)"),
    ],
)
def test_the_mask_of_the_prior_alone(mask: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(PRIOR_ALONE)(torch.randn(4, 3, 2, 2), torch.randn(4, 4), mask)
