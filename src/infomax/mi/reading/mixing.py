"""The critic that is read: a convex combination of candidates, chosen and bounded on validation rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.scores.reductions import logsumexp

__all__ = ["Mixture", "mix"]

_ITERATIONS = 100
_RATE = 2.0
_LEAST_PAIRS = 10  # marginal validation pairs that determine the mean of e^T, at least
_HALVINGS = 40
_LEAST_WEIGHT = 0.01  # candidates with a smaller weight are dropped


class Mixture(NamedTuple):
    r"""A fixed critic: a convex combination T of candidates, normalised, and bounded from both sides.

    .. math:: T \leftarrow \log\big( (1 - \epsilon) \, e^{\min(T - z, c)} + \epsilon \big)

    The constant z makes the mean of e^T over marginal validation pairs equal to 1. No pair scores above c, so no single
    marginal pair decides this mean. No pair scores below log epsilon, so no single joint pair decides the mean of T.
    """

    weights: Tensor
    """(C,), weights of the candidates; their sum is 1."""
    log_normaliser: float
    """z."""
    cap: float
    """c."""
    floor: float
    """epsilon."""

    @property
    def networks(self) -> bool:
        """Whether any network has a weight above 0; if not, the networks need not score."""
        return bool(self.weights[2:].any())

    def scores(self, tables: Tensor) -> Tensor:
        """Return scores (...), near the log density ratio, from the scores of the candidates, (C, ...)."""
        weights = self.weights[: len(tables)].to(tables.dtype)  # tables may lack candidates without weight
        mixed = torch.tensordot(weights, tables, dims=1)
        capped = (mixed - self.log_normaliser).clamp_max(self.cap) + math.log1p(-self.floor)
        scores: Tensor = torch.logaddexp(capped, capped.new_tensor(math.log(self.floor)))
        return scores


def mix(tables: Tensor, rows: int) -> Mixture:
    """Maximise Donsker-Varadhan over convex combinations by exponentiated gradient; it is concave in the weights.

    Args:
        tables: (C, n, 1 + K), finite scores of validation pairs by the candidates; column 0 holds the joint pairs.
        rows: number of rows n of the whole sample; epsilon is 1 / n, as n rows show no smaller probability.
    """
    joint, marginal = tables[..., 0].flatten(1), tables[..., 1:].flatten(1)
    log_weights = torch.full((len(tables),), -math.log(len(tables)), dtype=tables.dtype, device=tables.device)
    for _ in range(_ITERATIONS):
        gradient = joint.mean(1) - marginal @ torch.softmax(log_weights.exp() @ marginal, 0)
        log_weights = torch.log_softmax(log_weights + _RATE * gradient, 0)
    weights = log_weights.exp()
    weights = torch.where(weights < _LEAST_WEIGHT, 0.0, weights)
    weights = weights / weights.sum()
    cap = max(0.0, math.log(marginal.shape[1] / _LEAST_PAIRS))
    return Mixture(weights, _log_normaliser(weights @ marginal, cap), cap, 1 / rows)


def _log_normaliser(scores: Tensor, cap: float) -> float:
    """Return the z with a mean of e^min(T - z, c) of 1; if nothing is capped, the log of the mean of e^T."""
    count = math.log(len(scores))
    high = float(logsumexp(scores)) - count
    if float(scores.max()) - high <= cap:
        return high
    low = float(scores.min())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = float(logsumexp((scores - middle).clamp_max(cap))) > count
        low, high = (middle, high) if above else (low, middle)
    return high
