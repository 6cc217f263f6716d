"""What every estimator offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from infomax.scores import PairScores

__all__ = ["Bound", "Estimator"]

Bound = Literal["lower", "upper", "none"]
"""Which side of the mutual information an estimate lies on, in expectation."""


class Estimator(nn.Module, ABC):
    """A loss to minimise, and an estimate in nats, of scores.

    Subclass it with the two methods below to add your own: everything in the library takes it by ``estimator=``.
    """

    bound: Bound = "lower"
    """``"lower"``: in expectation the estimate is at most the mutual information, for any critic; ``"upper"``: at least
    that, for the critic its docstring names; ``"none"``: neither."""
    bias: str = ""
    """How the expected estimate differs from the truth even with the best critic, in a line."""
    variance: str = ""
    """How much the estimate varies from batch to batch, in a line."""
    needs_density: bool = False
    """Whether scores must be log densities of a global given a local, as :class:`~infomax.GaussianCritic`'s are."""

    @abstractmethod
    def forward(self, scores: PairScores) -> Tensor:
        """Return the loss, a scalar."""

    def mutual_information(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar without gradient."""
        with torch.no_grad():
            return self._estimate(scores).detach()

    @abstractmethod
    def _estimate(self, scores: PairScores) -> Tensor: ...
