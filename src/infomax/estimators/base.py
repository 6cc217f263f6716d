"""What every estimator offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from infomax.scores import PairScores

__all__ = ["Bound", "Estimator", "OptimalCritic"]

Bound = Literal["lower", "asymptotic", "upper", "none"]
"""Which side of the mutual information an estimate lies on, in expectation over batches of any size.

``"lower"``: at most the mutual information, for any critic. ``"asymptotic"``: the same in the limit of large batches
alone; in a small batch the estimate may be too high. ``"upper"``: at least the mutual information, for the critic that
the docstring names. ``"none"``: neither.
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
    """o; where a constant changes nothing, 0."""


class Estimator(nn.Module, ABC):
    """A loss to minimise, and an estimate in nats, of scores.

    Subclass it with :meth:`forward` and :meth:`estimate` to add your own: everything in the library takes it by
    ``estimator=``.

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
    """Which side of the mutual information the estimate lies on."""
    bias: str = ""
    """How the expected estimate differs from the truth even with the best critic, in a line."""
    variance: str = ""
    """How much the estimate varies from batch to batch, in a line."""
    optimum: OptimalCritic | None = OptimalCritic(1.0, 0.0)
    """How the optimal critic relates to the log density ratio; None where it is no linear function of that."""
    directional: bool = True
    """Whether it matters which side of a pair is the global one; False where all joint and all marginal scores enter as
    two plain sets."""
    needs_density: bool = False
    """Whether scores must be log densities of a global given a local, as :class:`~infomax.GaussianCritic`'s are."""
    needs_lipschitz: bool = False
    """Whether scores must come from a Lipschitz critic, as :class:`~infomax.LipschitzCritic`'s do."""
    fits_density: bool = False
    """Whether the loss fits the density of a global given a local: a global that learned from it would collapse."""
    needs_two_critics: bool = False
    """Whether a call takes the scores of a second critic, which a loss with one critic does not have."""

    @abstractmethod
    def forward(self, scores: PairScores) -> Tensor:
        """Return the loss, a scalar."""

    @abstractmethod
    def estimate(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar with its gradient."""

    def mutual_information(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar without gradient."""
        with torch.no_grad():
            return self.estimate(scores).detach()

    def per_global(self, scores: PairScores) -> Tensor:
        """Return the loss of each global, (M,); their mean is the loss where all globals have as many pairs.

        Raises:
            ValueError: the loss is no mean over globals.
        """
        del scores
        raise ValueError(
            f"reduction='none' needs a loss that is a mean over globals, which that of {type(self).__name__} is not; "
            "use reduction='mean'"
        )

    def ceiling(self, negatives: float) -> float:
        """Return the nats that the estimate cannot pass with so many marginal pairs per global; infinite for most.

        Args:
            negatives: K.
        """
        del negatives
        return math.inf

    def optimal_scores(self, log_ratio: PairScores) -> PairScores:
        """Turn scores that are log density ratios into those of the optimal critic.

        Args:
            log_ratio: scores log r, up to a constant where a constant changes nothing.

        Raises:
            ValueError: the optimal critic is no linear function of the log density ratio.
        """
        if self.optimum is None:
            raise ValueError(
                f"{type(self).__name__} cannot read log density ratios: its optimal critic is no linear function of "
                "them; read them with estimator='nwj' or 'dv'"
            )
        slope, offset = self.optimum
        scores = log_ratio if slope == 1 else log_ratio.scaled(slope)
        return scores if offset == 0 else scores.shifted(offset)
