"""The two players' losses for each measure of how far a representation is from the prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from infomax.scores.reductions import logsumexp, softplus

__all__ = ["MEASURES", "discriminator_loss", "encoder_loss"]


class _Measure(NamedTuple):
    """What D gains from its scores on samples of the prior, and what it pays for those on data; scalars."""

    gain: Callable[[Tensor], Tensor]
    price: Callable[[Tensor], Tensor]


def _log_mean_exp(scores: Tensor) -> Tensor:
    return logsumexp(scores.flatten()) - math.log(scores.numel())


_GAN = _Measure(lambda t: -softplus(-t).mean(), lambda t: softplus(t).mean())

_MEASURES: dict[str, _Measure] = {
    "gan": _GAN,
    "jsd": _GAN,
    "dv": _Measure(lambda t: t.mean(), _log_mean_exp),
    "kl": _Measure(lambda t: t.mean(), lambda t: (t - 1).exp().mean()),
    "rkl": _Measure(lambda t: -(-t).exp().mean(), lambda t: (t - 1).mean()),
    "hellinger": _Measure(lambda t: 1 - (-t).exp().mean(), lambda t: t.exp().mean() - 1),
    "chi2": _Measure(lambda t: t.mean(), lambda t: (t.square() / 4 + t).mean()),
    "wasserstein": _Measure(lambda t: t.mean(), lambda t: t.mean()),
}
MEASURES = tuple(_MEASURES)
"""Names of the measures."""


def discriminator_loss(on_prior: Tensor, on_data: Tensor, measure: str) -> Tensor:
    """Minus the variational bound of the measure: D's gain on the prior less its price on data, negated."""
    gain, price = _MEASURES[measure]
    return price(on_data) - gain(on_prior)


def encoder_loss(on_data: Tensor, measure: str, *, saturating: bool) -> Tensor:
    """What the encoder minimises: minus D's gain on data, or, saturating, minus the price that D pays there."""
    gain, price = _MEASURES[measure]
    return -(price if saturating else gain)(on_data)
