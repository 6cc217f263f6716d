"""The soft clip of the discriminator's scores, for measures whose formula holds a bare exponential."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.modules import check_players_apart
from tolerances import assert_close
from torch import nn

from infomax import PriorMatchingLoss
from infomax.prior.measures import MEASURES, discriminator_loss, encoder_loss

BARE = ["kl", "rkl", "hellinger"]


def far_off(loss: PriorMatchingLoss) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the value and the gradients of both players, for features of size 1e3."""
    y = (1e3 * torch.randn(16, 8, generator=torch.Generator().manual_seed(0))).requires_grad_()
    value = loss(y, generator=torch.Generator().manual_seed(1))
    return value, list(torch.autograd.grad(value, [y, *loss.parameters()]))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("saturating", [False, True])
def test_features_of_a_thousand_give_finite_losses_and_gradients(measure: str, saturating: bool) -> None:
    penalty = 1.0 if measure == "wasserstein" else 0.0
    loss = PriorMatchingLoss(8, "normal", measure=measure, saturating=saturating, gradient_penalty=penalty)
    value, gradients = far_off(loss)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert loss.clip == (20.0 if measure in BARE else None)


@pytest.mark.parametrize("measure", BARE)
def test_without_a_clip_they_overflow_and_the_page_says_so(measure: str) -> None:
    loss = PriorMatchingLoss(8, "normal", measure=measure, clip=None)
    with torch.no_grad():
        loss.discriminator[-1].bias.fill_(300.0 if measure != "rkl" else -300.0)
    assert not far_off(loss)[0].isfinite()
    assert "overflows float32" in (PriorMatchingLoss.__doc__ or "")


@pytest.mark.parametrize("measure", MEASURES)
def test_it_bends_the_scores_of_both_players(measure: str) -> None:
    loss = PriorMatchingLoss(3, "normal", hidden=(7,), measure=measure, gradient_penalty=1e-9, clip=0.8).double()
    nn.init.normal_(loss.discriminator[-1].weight, std=3.0)
    y = randn(6, 3)
    real = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    on_prior, on_data = (0.8 * (loss.discriminator(rows) / 0.8).tanh() for rows in (real, y))
    terms = loss.terms(y, generator=torch.Generator().manual_seed(0))
    assert_close(terms.discriminator, discriminator_loss(on_prior, on_data, measure), 1e-6, "discriminator")
    assert_close(terms.encoder, encoder_loss(on_data, measure, saturating=False), 1e-12, "encoder")
    assert loss.discriminator(y).abs().max() > 0.8, "or nothing was bent"


def test_players_stay_apart() -> None:
    check_players_apart(PriorMatchingLoss(4, measure="kl", clip=2.0))


def test_its_repr_says_so() -> None:
    assert "clip=20.0" in repr(PriorMatchingLoss(4, measure="kl"))
    assert "clip=None" in repr(PriorMatchingLoss(4))
    assert "clip=5" in repr(PriorMatchingLoss(4, clip=5))


@pytest.mark.parametrize(
    ("clip", "error", "message"),
    [
        (0.0, ValueError, "clip must be positive, got 0.0"),
        (float("inf"), ValueError, "clip must be finite, got inf"),
        ("none", ValueError, "clip must be one of auto, got 'none'"),
        (torch.ones(()), TypeError, "clip must be a number, got a torch.Tensor"),
    ],
)
def test_refusals(clip: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PriorMatchingLoss(4, clip=clip)
