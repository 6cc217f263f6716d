"""FLO: a bound that needs a second function of each joint pair (Guo et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_floating, shape_of
from infomax.estimators.base import Estimator
from infomax.scores import PairScores
from infomax.scores.base import takes_scores

__all__ = ["FLO", "flo_estimate", "flo_loss"]


@takes_scores
def flo_loss(scores: PairScores, u: Tensor | PairScores) -> Tensor:
    r"""Return minus the contrastive Fenchel-Legendre bound (FLO).

    .. math:: \mathbb{E}_\mathrm{joint}\Big[ u(x, y) + e^{-u(x, y)} \, \mathbb{E}_{x^-}\big[e^{T(x^-, y) - T(x, y)}\big]
              \Big] - 1

    This is a lower bound on the mutual information for any critic T and any function u of a pair. Its estimate is
    unbiased for every batch size. It is tight if T is the log density ratio up to a constant for each global, and u is
    log E[e^T] - T, minus the pointwise mutual information of the pair. So u must be a network of its own, trained by
    the same loss. If u were computed from the mean of e^T over the same batch, the bound would become
    :func:`~infomax.functional.leave_one_out_estimate` of the critic, which is biased upwards.

    Args:
        scores: joint and marginal scores.
        u: the value of u at each joint pair, (J,), in the order of the joint scores; or the scores of a second critic
            on the same features, of which the joint scores are used.

    Returns:
        Scalar, float32 (float64 for float64 scores); minus the estimate in nats.

    Raises:
        TypeError: ``u`` is neither a floating tensor nor scores.
        ValueError: ``u`` does not have one value for each joint pair.

    Numerics:
        Contains a bare exponential of log E[e^T] - T - u. The exponent is 0 at the optimum. The exponential overflows
        float32 if u is 88 below its optimum.

    Source:
        Guo et al. 2022, "Tight mutual information estimation with contrastive Fenchel-Legendre optimization".

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.flo_loss(F.dense_scores(3.0 * torch.eye(4)), u=torch.full((4,), -3.0))  # the best u
        tensor(-3.)
    """
    return -flo_estimate(scores, u)


@takes_scores
def flo_estimate(scores: PairScores, u: Tensor | PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by FLO, a lower bound: minus :func:`flo_loss`.

    Args:
        scores: joint and marginal scores.
        u: as in :func:`flo_loss`.

    Returns:
        Scalar in nats.

    Raises:
        TypeError: as :func:`flo_loss`.
        ValueError: as :func:`flo_loss`.

    Source:
        As :func:`flo_loss`.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.flo_estimate(F.dense_scores(3.0 * torch.eye(4)), u=torch.full((4,), -2.0))
        tensor(2.6321)
    """
    joint, marginal = scores.reduce("logsumexp")
    log_mean = marginal - scores.count().to(marginal.dtype).log()
    second = _at_joint_pairs(u, joint)
    return 1 - (second + (scores.per_joint(log_mean) - joint - second).exp()).mean()


def _at_joint_pairs(u: Tensor | PairScores, joint: Tensor) -> Tensor:
    values = u.joint() if isinstance(u, PairScores) else check_floating("u", u)
    if values.shape != joint.shape:
        raise ValueError(
            f"u must have one value for each of the {joint.shape[0]} joint pairs, {shape_of(joint)}, got "
            f"{shape_of(values)}"
        )
    return values.to(joint.dtype)


class FLO(Estimator):
    """Contrastive Fenchel-Legendre: :func:`~infomax.functional.flo_loss`.

    Besides the scores, FLO needs a second function of the joint pairs, which losses with one critic cannot provide.
    Call it with the scores of two critics, and train both.

    Raises:
        TypeError: ``u`` is missing in a call.

    Example:
        >>> import torch
        >>> from infomax import FLO, BilinearCritic, DotCritic
        >>> critic, second = DotCritic(16, 8, units=32), BilinearCritic(16, 8)
        >>> local, global_ = torch.randn(4, 16, 2, 2), torch.randn(4, 8)
        >>> FLO()(critic(local, global_), second(local, global_)).backward()
    """

    bias = "none"
    variance = "high: grows as e^I"
    needs_two_critics = True

    def forward(self, scores: PairScores, u: Tensor | PairScores | None = None) -> Tensor:
        """Return the loss; ``u`` as in :func:`~infomax.functional.flo_loss`."""
        return flo_loss(scores, _given(u))

    def estimate(self, scores: PairScores, u: Tensor | PairScores | None = None) -> Tensor:
        """Return the estimate in nats with its gradient; ``u`` as in :func:`~infomax.functional.flo_loss`."""
        return flo_estimate(scores, _given(u))

    def mutual_information(self, scores: PairScores, u: Tensor | PairScores | None = None) -> Tensor:
        """Return the estimate in nats; ``u`` as in :func:`~infomax.functional.flo_loss`."""
        with torch.no_grad():
            return self.estimate(scores, u).detach()


def _given(u: Tensor | PairScores | None) -> Tensor | PairScores:
    if u is None:
        raise TypeError(
            "u must be given together with scores, one value for each joint pair or the scores of a second critic, got "
            "neither: FLO(...)(critic(local, global_), second_critic(local, global_))"
        )
    return u
