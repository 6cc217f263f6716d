"""The losses of discriminator and encoder, for each measure of the distance from a representation to the prior."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.scores.measures import MEASURES as BOUNDS
from infomax.scores.reductions import reduce_table

__all__ = ["MEASURES", "discriminator_loss", "encoder_loss"]

_OTHER_NAMES = {"jsd": "gan"}
MEASURES = (*BOUNDS, *_OTHER_NAMES)
"""Names of the measures."""


def discriminator_loss(on_prior: Tensor, on_data: Tensor, measure: str) -> Tensor:
    """Return minus the variational bound of the measure: D's price on data minus its gain on the prior."""
    return _price(on_data, measure) - _gain(on_prior, measure)


def encoder_loss(on_data: Tensor, measure: str, *, saturating: bool) -> Tensor:
    """Return the encoder's loss: minus D's gain on data or, with ``saturating``, minus D's price on data."""
    return -_price(on_data, measure) if saturating else -_gain(on_data, measure)


def _gain(scores: Tensor, measure: str) -> Tensor:
    return BOUNDS[_OTHER_NAMES.get(measure, measure)].gain(scores).mean()


def _price(scores: Tensor, measure: str) -> Tensor:
    _, reduction, price = BOUNDS[_OTHER_NAMES.get(measure, measure)]
    flat = scores.flatten()
    reduced = reduce_table(flat, torch.ones_like(flat, dtype=torch.bool), reduction, None, None)
    number = flat.numel()
    # The number is a tensor for its logarithm: where a mask decides it, a compiled graph has no Python number.
    return price(reduced - reduced.new_full((), number).log() if reduction == "logsumexp" else reduced / number)
