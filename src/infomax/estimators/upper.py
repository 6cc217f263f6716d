"""Bounds from above, of scores that are a conditional log density: CLUB and leave-one-out."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.means import mean_joint, mean_marginal
from infomax.scores import PairScores

__all__ = ["CLUB", "LeaveOneOut", "club_estimate", "leave_one_out_estimate", "likelihood_loss"]


def likelihood_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Minus the mean conditional log density of the joint pairs: maximum likelihood.

    .. math:: -\mathbb{E}_\mathrm{joint}[T], \qquad T(x, y) = \log q(y \mid x)

    It fits the density of :class:`~infomax.CLUB` and :class:`~infomax.LeaveOneOut`. Features with a gradient learn to
    be predictable as well, and they may collapse to a point to achieve that.

    Args:
        scores: conditional log densities, as :class:`~infomax.GaussianCritic` makes them.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,), whose mean is the scalar where all
            globals have as many joint pairs.

    Returns:
        Scalar, or (M,), in nats, float32 (float64 for float64 scores); at best the entropy of a global given a local.

    Numerics:
        Linear in the scores.

    Source:
        Cheng et al. 2020 (CLUB), section 3.2.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.likelihood_loss(F.dense_scores(-1.5 * torch.eye(4)))
        tensor(1.5000)
    """
    return mean_joint(scores, -scores.joint(), reduction)


def club_estimate(scores: PairScores) -> Tensor:
    r"""Mutual information in nats from above, by the contrastive log-ratio upper bound (CLUB).

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[\log q(y \mid x)] - \mathbb{E}_\mathrm{marginal}[\log q(y \mid x)]

    An upper bound if q is the true conditional density, or nearer to the joint distribution than to the product of
    marginals (Cheng et al., theorem 3.2); otherwise it bounds nothing. With the true density it exceeds the
    information by the reverse divergence, KL of the product from the joint, which does not shrink with the batch.
    Prefer it for *making information small*: it has no exponential, and a gradient for the features.

    Args:
        scores: conditional log densities of each global given each local.

    Returns:
        Scalar in nats. It keeps its gradient, as a term to minimise.

    Numerics:
        Linear in the scores. Whatever depends on the global alone cancels.

    Source:
        Cheng et al. 2020, "CLUB: a contrastive log-ratio upper bound of mutual information", eq. 6 and 9 (vCLUB); here
        the marginal pairs leave the joint ones out.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.club_estimate(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """
    joint, total = scores.reduce("sum")
    return joint.mean() - mean_marginal(scores, total)


def leave_one_out_estimate(scores: PairScores) -> Tensor:
    r"""Mutual information in nats from above, with the other locals of the batch as the marginal density of a global.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} \Big[ \log q(y \mid x)
              - \log \frac{1}{K_y} \sum_{x^-} q(y \mid x^-) \Big]

    It is an upper bound if q is the true conditional density, because the mean of K densities is the marginal one only
    on average, and its logarithm is too small. The excess vanishes with K, so prefer it to CLUB for the number itself.
    With any other q it bounds nothing. With a log density *ratio* as scores it is InfoNCE without the joint pair among
    its candidates.

    Args:
        scores: conditional log densities of each global given each local.

    Returns:
        Scalar in nats. It keeps its gradient, as a term to minimise.

    Numerics:
        Finite for every finite score. Whatever depends on the global alone cancels.

    Source:
        Poole et al. 2019, section 2.5 (the leave-one-out bound).

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.leave_one_out_estimate(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """
    joint, marginal = scores.reduce("logsumexp")
    log_mean = marginal - scores.count().to(marginal.dtype).log()
    return (joint - scores.per_joint(log_mean)).mean()


class CLUB(Estimator):
    """A bound from above by a conditional density: :func:`~infomax.functional.club_estimate`.

    The loss fits the density by maximum likelihood (:func:`~infomax.functional.likelihood_loss`): give it features
    without a gradient. A loss such as :class:`~infomax.LocalDIMLoss` refuses globals that have one, because an encoder
    makes them easy to predict by making them constant. To make the information of features *small*, minimise
    :meth:`estimate` by them and this loss by the density, in turn.

    Example:
        >>> import torch
        >>> from infomax import CLUB, GaussianCritic
        >>> density = GaussianCritic(16, 8, units=32)
        >>> local, global_ = torch.randn(4, 16, requires_grad=True), torch.randn(4, 8)
        >>> CLUB()(density(local.detach(), global_)).backward()  # trains the density
        >>> CLUB().estimate(density(local, global_)).backward()  # lowers the information, by the features
    """

    bound = "upper"
    needs_density = True
    fits_density = True
    optimum = None  # the log density of a global given a local
    bias = "up, by the reverse KL divergence"
    variance = "grows with the spread of log densities"
    directional = False

    def forward(self, scores: PairScores) -> Tensor:
        return likelihood_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return club_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return likelihood_loss(scores, reduction="none")


class LeaveOneOut(Estimator):
    """A bound from above by a conditional density: :func:`~infomax.functional.leave_one_out_estimate`.

    Fitted and used as :class:`CLUB`.

    Example:
        >>> import torch
        >>> from infomax import GaussianCritic, LeaveOneOut
        >>> density = GaussianCritic(16, 8, units=32)
        >>> scores = density(torch.randn(4, 16), torch.randn(4, 8))
        >>> LeaveOneOut()(scores).backward()
        >>> nats = LeaveOneOut().mutual_information(scores)
    """

    bound = "upper"
    needs_density = True
    fits_density = True
    optimum = None  # the log density of a global given a local
    bias = "up, vanishing with K"
    variance = "moderate"

    def forward(self, scores: PairScores) -> Tensor:
        return likelihood_loss(scores)

    def estimate(self, scores: PairScores) -> Tensor:
        return leave_one_out_estimate(scores)

    def per_global(self, scores: PairScores) -> Tensor:
        return likelihood_loss(scores, reduction="none")
