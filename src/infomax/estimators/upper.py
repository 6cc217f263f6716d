"""Upper bounds for scores that are conditional log densities: CLUB and leave-one-out."""

from __future__ import annotations

from torch import Tensor

from infomax.estimators.base import Estimator
from infomax.estimators.means import mean_joint, mean_marginal
from infomax.scores import PairScores
from infomax.scores.base import takes_scores

__all__ = ["CLUB", "LeaveOneOut", "club_estimate", "leave_one_out_estimate", "likelihood_loss"]


@takes_scores
def likelihood_loss(scores: PairScores, *, reduction: str = "mean") -> Tensor:
    r"""Return minus the mean conditional log density of the joint pairs, the loss of maximum likelihood.

    .. math:: -\mathbb{E}_\mathrm{joint}[T], \qquad T(x, y) = \log q(y \mid x)

    This loss fits the density of :class:`~infomax.CLUB` and :class:`~infomax.LeaveOneOut`. It also trains features that
    require a gradient to be predictable, and they may collapse to a point to achieve that.

    Args:
        scores: conditional log densities, for example from :class:`~infomax.GaussianCritic`.
        reduction: ``"mean"``, a scalar; or ``"none"``, a value per global, (M,). If all globals have the same number of
            joint pairs, the mean of these values is the scalar.

    Returns:
        Scalar, or (M,), in nats, float32 (float64 for float64 scores). Its lowest expected value is the entropy of a
        global given a local.

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


@takes_scores
def club_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by the contrastive log-ratio upper bound (CLUB).

    .. math:: \hat I = \mathbb{E}_\mathrm{joint}[\log q(y \mid x)] - \mathbb{E}_\mathrm{marginal}[\log q(y \mid x)]

    CLUB is an upper bound if q is the true conditional density, or closer to the joint distribution than to the product
    of marginals (Cheng et al., theorem 3.2). Otherwise it bounds nothing. With the true density it exceeds the
    information by the reverse KL divergence, that of the product of marginals from the joint, which does not shrink
    with the batch size. Prefer it for *minimising information*: it has no exponential, and the features have a
    gradient.

    Args:
        scores: conditional log densities of each global given each local.

    Returns:
        Scalar in nats, with a gradient, so that it can be minimised.

    Numerics:
        Linear in the scores. A term of the scores that depends on the global alone cancels if all globals have the same
        number of joint pairs and of marginal pairs.

    Source:
        Cheng et al. 2020, "CLUB: a contrastive log-ratio upper bound of mutual information", eq. 6 and 9 (vCLUB). Here
        the marginal pairs do not include the joint pairs.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.club_estimate(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """
    joint, total = scores.reduce("sum")
    return joint.mean() - mean_marginal(scores, total)


@takes_scores
def leave_one_out_estimate(scores: PairScores) -> Tensor:
    r"""Estimate the mutual information in nats by the leave-one-out upper bound.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} \Big[ \log q(y \mid x)
              - \log \frac{1}{K_y} \sum_{x^-} q(y \mid x^-) \Big]

    The mean of the conditional densities given the other locals estimates the marginal density of a global. This mean
    of K densities is right on average, so its logarithm is too small on average. The result is therefore an upper bound
    if q is the true conditional density; with any other q it bounds nothing. The excess vanishes as K grows, so prefer
    this bound to CLUB to estimate the information. With log density *ratios* as scores, it is InfoNCE with the joint
    pair left out of the candidates.

    Args:
        scores: conditional log densities of each global given each local.

    Returns:
        Scalar in nats, with a gradient, so that it can be minimised.

    Numerics:
        Finite for every finite score. A term of the scores that depends on the global alone cancels.

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
    """An upper bound from a conditional density: :func:`~infomax.functional.club_estimate`.

    The loss fits the density by maximum likelihood (:func:`~infomax.functional.likelihood_loss`), so pass features
    without a gradient. Losses such as :class:`~infomax.LocalDIMLoss` reject globals with a gradient, because an encoder
    could make them easy to predict by making them constant. To *minimise* the information between features, alternate
    two steps: train the density with this loss, and train the features to minimise :meth:`estimate`.

    Example:
        >>> import torch
        >>> from infomax import CLUB, GaussianCritic
        >>> density = GaussianCritic(16, 8, units=32)
        >>> local, global_ = torch.randn(4, 16, requires_grad=True), torch.randn(4, 8)
        >>> CLUB()(density(local.detach(), global_)).backward()  # trains the density
        >>> CLUB().estimate(density(local, global_)).backward()  # lowers the information through the features
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
    """An upper bound from a conditional density: :func:`~infomax.functional.leave_one_out_estimate`.

    It is fitted and used like :class:`CLUB`.

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
