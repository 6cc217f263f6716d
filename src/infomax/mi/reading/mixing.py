"""The critic that is reported: a convex combination of candidates, chosen on validation rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.scores.reductions import logsumexp

__all__ = ["Mixture", "mix"]

_ITERATIONS = 100
_RATE = 2.0


class Mixture(NamedTuple):
    """A critic made of candidates, normalised and bounded on validation rows."""

    weights: Tensor
    """(C,), of the candidates; their sum is 1."""
    log_normaliser: float
    """log of the mean of e^T over validation marginal pairs: what brings T to the log density ratio."""
    ceiling: float
    """Highest score of a joint validation pair: no score may pass it, so that no single pair decides."""

    def scores(self, tables: Tensor) -> Tensor:
        """Scores of pairs from those of the candidates, (C, ...); (...), near the log density ratio."""
        mixed = torch.tensordot(self.weights.to(tables.dtype), tables, dims=1)
        scores: Tensor = mixed.clamp_max(self.ceiling) - self.log_normaliser
        return scores


def mix(tables: Tensor) -> Mixture:
    """Maximise Donsker-Varadhan over convex combinations, in which it is concave, by exponentiated gradient.

    Args:
        tables: (C, n, 1 + K), scores of validation pairs by the candidates, the joint ones first.
    """
    joint, marginal = tables[..., 0].flatten(1), tables[..., 1:].flatten(1)
    weights = torch.full((len(tables),), 1 / len(tables), dtype=tables.dtype, device=tables.device)
    for _ in range(_ITERATIONS):
        gradient = joint.mean(1) - marginal @ torch.softmax(weights @ marginal, 0)
        weights = weights * torch.exp(_RATE * (gradient - gradient.max()))
        weights = weights / weights.sum()
    ceiling = float((weights @ joint).max())
    clamped = (weights @ marginal).clamp_max(ceiling)
    return Mixture(weights, float(logsumexp(clamped)) - math.log(marginal.shape[1]), ceiling)
