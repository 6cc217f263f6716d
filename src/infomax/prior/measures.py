"""The two players' losses for each measure of how far a representation is from the prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from infomax.scores.reductions import softplus

__all__ = ["MEASURES", "discriminator_loss", "encoder_loss"]


class _Measure(NamedTuple):
    """What D gains from a score on a sample of the prior, and what it pays for one on data."""

    gain: Callable[[Tensor], Tensor]
    price: Callable[[Tensor], Tensor]


def _same(score: Tensor) -> Tensor:
    return score


_GAN = _Measure(lambda t: -softplus(-t), softplus)

_MEASURES: dict[str, _Measure] = {
    "gan": _GAN,
    "jsd": _GAN,
    "kl": _Measure(_same, lambda t: (t - 1).exp()),
    "rkl": _Measure(lambda t: -(-t).exp(), lambda t: t - 1),
    "hellinger": _Measure(lambda t: 1 - (-t).exp(), lambda t: t.exp() - 1),
    "chi2": _Measure(_same, lambda t: t.square() / 4 + t),
    "wasserstein": _Measure(_same, _same),
}
MEASURES = tuple(_MEASURES)
"""Names of the measures."""


def discriminator_loss(on_prior: Tensor, on_data: Tensor, measure: str) -> Tensor:
    """Minus the variational bound of the measure: the mean gain on the prior less the mean price on data, negated."""
    gain, price = _MEASURES[measure]
    return price(on_data).mean() - gain(on_prior).mean()


def encoder_loss(on_data: Tensor, measure: str, *, saturating: bool) -> Tensor:
    """What the encoder minimises: minus D's gain on data, or, saturating, minus the price that D pays there."""
    gain, price = _MEASURES[measure]
    return -(price if saturating else gain)(on_data).mean()
