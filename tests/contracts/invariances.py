"""Checks of invariance: to the order of examples, masked places, padding, and a constant added to scores."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

from infomax import functional as F
from infomax.scores import PairScores

Loss = Callable[..., Tensor]


def value_and_gradients(loss: Loss, local: Tensor, global_: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    local, global_ = local.detach().requires_grad_(), global_.detach().requires_grad_()
    value = loss(local, global_, *rest)
    by_local, by_global = torch.autograd.grad(value, (local, global_))
    return value.detach(), by_local, by_global


def check_permutations(loss: Loss, local: Tensor, global_: Tensor, tolerance: float = 1e-10) -> None:
    """Check that the order of examples and of locations does not matter, and that gradients move with their rows."""
    value, by_local, by_global = value_and_gradients(loss, local, global_)
    order = torch.arange(local.shape[0]).roll(1)
    other, other_local, other_global = value_and_gradients(loss, local[order], global_[order])
    assert_close(other, value, tolerance, "loss of permuted examples")
    assert_close(other_local, by_local[order], tolerance, "gradient of permuted examples")
    assert_close(other_global, by_global[order], tolerance, "gradient of permuted examples")
    if local.ndim > 2:
        flat = local.flatten(2)
        places = torch.arange(flat.shape[2]).roll(1)
        shuffled = flat[:, :, places].reshape(local.shape)
        other, other_local, _ = value_and_gradients(loss, shuffled, global_)
        assert_close(other, value, tolerance, "loss of permuted locations")
        assert_close(other_local.flatten(2), by_local.flatten(2)[:, :, places], tolerance, "gradient of locations")


def check_mask_is_absence(
    make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor, mask: Tensor, tolerance: float = 1e-10
) -> None:
    """Check that masked values, NaN and infinity included, influence neither loss, gradients nor buffers.

    The masked values are those of masked locations, and the global feature of an example with no location left.
    """
    outcomes = []
    hidden = ~mask.unsqueeze(1).expand(local.shape[:2] + mask.shape[1:])
    for filling in (0.0, 1e3, torch.inf, -torch.inf, torch.nan):
        loss = make_loss()
        filled = global_.clone()
        filled[~mask.flatten(1).any(1)] = filling
        value, by_local, by_global = value_and_gradients(loss, local.masked_fill(hidden, filling), filled, mask)
        assert not by_local[hidden].any(), f"a masked location that holds {filling} has a gradient"
        assert value.isfinite(), f"loss is {value} where a masked location holds {filling}"
        outcomes.append((filling, value, by_local, by_global, copy.deepcopy(loss.state_dict())))
    _, value, by_local, by_global, state = outcomes[0]
    for filling, other, other_local, other_global, other_state in outcomes[1:]:
        assert_close(other, value, tolerance, f"loss with {filling} in masked locations")
        assert_close(other_local, by_local, tolerance, f"gradient of local with {filling} in masked locations")
        assert_close(other_global, by_global, tolerance, f"gradient of global_ with {filling} in masked locations")
        for name, buffer in state.items():
            assert_close(other_state[name], buffer, tolerance, f"{name} after {filling} in masked locations")


def check_padding_is_mask(
    make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor, padding: int = 3, tolerance: float = 1e-10
) -> None:
    """Check that locations which are padded and masked have the same effect as locations left out."""
    short = make_loss()
    value, by_local, by_global = value_and_gradients(short, local, global_)
    padded = torch.nn.functional.pad(local, [0, padding], value=7.0)
    mask = torch.zeros(padded.shape[:1] + padded.shape[2:], dtype=torch.bool)
    mask[..., : local.shape[-1]] = True
    long = make_loss()
    other, other_local, other_global = value_and_gradients(long, padded, global_, mask)
    assert_close(other, value, tolerance, "loss with padding")
    assert_close(other_local[..., : local.shape[-1]], by_local, tolerance, "gradient with padding")
    assert_close(other_global, by_global, tolerance, "gradient of global_ with padding")
    for name, buffer in short.state_dict().items():
        assert_close(long.state_dict()[name], buffer, tolerance, f"{name} with padding")


def check_shift_of_one_global(loss: Callable[[PairScores], Tensor]) -> None:
    """Check that a constant added to all scores of one global changes nothing (InfoNCE)."""
    table = randn(4, 2, 4, 3)
    shifted = table + 5.0 * randn(4, 2, seed=1)[:, :, None, None]
    assert_close(loss(F.dense_scores(shifted)), loss(F.dense_scores(table)), 1e-12, "loss with shifted globals")


def check_shift_of_all(loss: Callable[[PairScores], Tensor]) -> None:
    """Check that one constant added to all scores changes nothing (InfoNCE, Donsker-Varadhan)."""
    table = randn(4, 2, 4, 3)
    for shift in (-30.0, 2.5, 40.0):
        assert_close(loss(F.dense_scores(table + shift)), loss(F.dense_scores(table)), 1e-12, f"loss + {shift}")


def check_constant_critic(estimate: Callable[[PairScores], Tensor], constant: float = 0.0) -> None:
    """Check that the estimate is 0 when the critic gives every pair the same score."""
    for shape in ((2, 2), (5, 5), (3, 2, 3, 4)):
        value = estimate(F.dense_scores(torch.full(shape, constant, dtype=torch.float64)))
        assert_close(value, 0.0, 1e-12, f"estimate of a constant critic, {shape}")
