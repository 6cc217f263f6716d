"""The base class of all estimators."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from infomax.scores import PairScores

__all__ = ["Bound", "Estimator", "OptimalCritic"]

Bound = Literal["lower", "asymptotic", "upper", "none"]
"""Whether the expected estimate, over batches of any size, bounds the mutual information.

``"lower"``: it is at most the mutual information, for any critic. ``"asymptotic"``: it is so only in the limit of large
batches; in small batches it may be too high. ``"upper"``: it is at least the mutual information, for the critic named
in the docstring of the estimator. ``"none"``: it bounds nothing.
"""


class OptimalCritic(NamedTuple):
    """The scores at which an estimator is optimal, in terms of the density ratio r = p(x, y) / p(x) p(y).

    .. math:: T^* = s \\log r + o

    Example:
        >>> from infomax import NWJ
        >>> NWJ().optimum
        OptimalCritic(slope=1.0, offset=1.0)
    """

    slope: float
    """s."""
    offset: float
    """o; 0 where a constant added to all scores changes nothing."""


class Estimator(nn.Module, ABC):
    """The base class of estimators, which turn scores into a loss to minimise and an estimate in nats.

    To add an estimator, subclass this class and implement :meth:`forward` and :meth:`estimate`. Every loss in the
    library accepts it as ``estimator=``.

    Example:
        >>> import torch
        >>> from infomax import Estimator, LocalDIMLoss
        >>> class Hinge(Estimator):
        ...     bound = "none"
        ...     def forward(self, scores):
        ...         return (1 - scores.joint()).relu().mean()
        ...     def estimate(self, scores):
        ...         return scores.joint().mean()
        >>> loss_fn = LocalDIMLoss(local_dim=8, global_dim=4, critic="bilinear", estimator=Hinge())
        >>> loss_fn(torch.randn(4, 8, 3), torch.randn(4, 4)).shape
        torch.Size([])
    """

    bound: Bound = "lower"
    """Whether the estimate bounds the mutual information, and from which side."""
    bias: str = ""
    """The bias of the estimate with the best critic, in one line."""
    variance: str = ""
    """The variance of the estimate from batch to batch, in one line."""
    optimum: OptimalCritic | None = OptimalCritic(1.0, 0.0)
    """The optimal critic as a linear function of the log density ratio; None if it is no such function."""
    directional: bool = True
    """Whether the result depends on which side of a pair is the global one. False if only the set of joint scores and
    the set of marginal scores matter."""
    needs_density: bool = False
    """Whether scores must be log densities of a global given a local, as :class:`~infomax.GaussianCritic`'s are."""
    needs_lipschitz: bool = False
    """Whether scores must come from a Lipschitz critic, as :class:`~infomax.LipschitzCritic`'s do."""
    fits_density: bool = False
    """Whether the loss fits the density of a global given a local, so that trainable globals would collapse."""
    needs_two_critics: bool = False
    """Whether a call needs the scores of a second critic, which losses with one critic cannot provide."""

    @abstractmethod
    def forward(self, scores: PairScores) -> Tensor:
        """Return the loss, a scalar."""

    @abstractmethod
    def estimate(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar with a gradient."""

    def mutual_information(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar without gradient."""
        with torch.no_grad():
            return self.estimate(scores).detach()

    def per_global(self, scores: PairScores) -> Tensor:
        """Return the loss of each global, (M,). Its mean is the loss if all globals have the same number of pairs.

        Raises:
            ValueError: the loss is not a mean over globals.
        """
        del scores
        raise ValueError(
            f"reduction='none' needs a loss that is a mean over globals, which that of {type(self).__name__} is not; "
            "use reduction='mean'"
        )

    def ceiling(self, negatives: float) -> float:
        """Return the largest possible estimate in nats for K marginal pairs per global; infinite for most estimators.

        Args:
            negatives: K.
        """
        del negatives
        return math.inf

    def optimal_scores(self, log_ratio: PairScores) -> PairScores:
        """Turn scores that are log density ratios into the scores of the optimal critic.

        Args:
            log_ratio: the scores log r; up to a constant if the estimator does not depend on one.

        Raises:
            ValueError: the optimal critic is not a linear function of the log density ratio.
        """
        if self.optimum is None:
            raise ValueError(
                f"{type(self).__name__} cannot evaluate log density ratios: its optimal critic is not a linear "
                "function of them; use estimator='nwj' or 'dv'"
            )
        slope, offset = self.optimum
        scores = log_ratio if slope == 1 else log_ratio.scaled(slope)
        return scores if offset == 0 else scores.shifted(offset)
