"""Bounds from above, of scores that are a conditional log density: CLUB and leave-one-out."""

from __future__ import annotations

from torch import Tensor

from infomax.functional.means import mean_difference
from infomax.scores import PairScores

__all__ = ["club_estimate", "leave_one_out_estimate", "likelihood_loss"]


def likelihood_loss(scores: PairScores) -> Tensor:
    r"""Minus the mean conditional log density of the joint pairs: maximum likelihood.

    .. math:: -\mathbb{E}_\mathrm{joint}[T], \qquad T(x, y) = \log q(y \mid x)

    What :class:`~infomax.CLUB` and :class:`~infomax.LeaveOneOut` are fitted by. It trains q; fed with features that
    have a gradient, it trains those to be predictable as well, which a collapse to a point achieves.

    Args:
        scores: conditional log densities, as :class:`~infomax.GaussianCritic` makes them.

    Returns:
        Scalar in nats, float32 (float64 for float64 scores); at best the entropy of a global given a local.

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
    return -scores.joint().mean()


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
    return mean_difference(scores, joint, total)


def leave_one_out_estimate(scores: PairScores) -> Tensor:
    r"""Mutual information in nats from above, with the other locals of the batch as the marginal density of a global.

    .. math:: \hat I = \frac{1}{J} \sum_{(y, x)} \Big[ \log q(y \mid x)
              - \log \frac{1}{K_y} \sum_{x^-} q(y \mid x^-) \Big]

    An upper bound if q is the true conditional density: the mean of K densities is the marginal one only on average,
    and its logarithm too small. The excess vanishes with K, so prefer it to CLUB for the number itself. With any other
    q it bounds nothing; with a log density *ratio* as scores it is InfoNCE without the joint pair among its candidates.

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
