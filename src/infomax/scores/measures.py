"""Variational bounds of f-divergences and similar divergences, shared by estimators and prior matching.

.. math:: D \\ge \\mathbb{E}_p[a(T)] - B, \\qquad B = \\mathbb{E}_q[b(T)] \\text{ or a function of } \\mathbb{E}_q[e^T]

Here p is the distribution whose samples should have high scores (joint pairs, or samples of a prior), and q the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from infomax.scores.base import Reduction
from infomax.scores.reductions import softplus

__all__ = ["MEASURES", "Measure"]


class Measure(NamedTuple):
    """One bound: a gain on samples of p minus a price on samples of q."""

    gain: Callable[[Tensor], Tensor]
    """The function a of each score T."""
    reduction: Reduction
    """How the scores on q are reduced: to the mean of the function that the reduction sums, or to log E[e^T]."""
    price: Callable[[Tensor], Tensor]
    """B as a function of that mean or of log E[e^T]."""


def _same(value: Tensor) -> Tensor:
    return value


MEASURES: dict[str, Measure] = {
    "kl": Measure(_same, "logsumexp", lambda log_mean: (log_mean - 1).exp()),
    "rkl": Measure(lambda t: -(-t).exp(), "sum", lambda mean: mean - 1),
    "hellinger": Measure(lambda t: 1 - (-t).exp(), "logsumexp", lambda log_mean: log_mean.exp() - 1),
    "chi2": Measure(_same, "pearson", _same),
    "gan": Measure(lambda t: -softplus(-t), "softplus", _same),
    "dv": Measure(_same, "logsumexp", _same),
    "wasserstein": Measure(_same, "sum", _same),
}
"""The measures by name: those of Nowozin et al. 2016 (f-GAN), table 6, and Donsker-Varadhan and Wasserstein-1."""
