"""The Jensen-Shannon objective (Nowozin et al. 2016; Hjelm et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from infomax.functional.means import clipped, mean_marginal
from infomax.scores import PairScores
from infomax.scores.reductions import softplus

__all__ = ["jsd_loss"]


def jsd_loss(scores: PairScores, *, clip: float | None = None) -> Tensor:
    r"""Binary cross-entropy of telling joint pairs from marginal ones, each kind weighted alike.

    .. math:: \mathbb{E}_\mathrm{joint}[\mathrm{sp}(-T)] + \mathbb{E}_\mathrm{marginal}[\mathrm{sp}(T)],
              \qquad \mathrm{sp}(t) = \log(1 + e^t)

    Its negative plus 2 log 2 is a lower bound on twice the Jensen-Shannon divergence of the joint from the product of
    marginals, not on the mutual information. At the optimum T is the log density ratio, so read the information with
    :func:`~infomax.functional.dv_estimate` of the same scores. Prefer it with few negatives, which hardly matter to it.

    Args:
        scores: joint and marginal scores.
        clip: bring all scores into [-clip, clip] first.

    Returns:
        Scalar, float32 (float64 for float64 scores); no unit. 2 log 2 for a constant critic of 0.

    Numerics:
        Finite for every finite score; linear in them far from 0.

    Source:
        Hjelm et al. 2019, eq. 4. The authors' ``GAN`` measure; their ``JSD`` is this shifted by -2 log 2.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.jsd_loss(F.dense_scores(torch.zeros(4, 4)))  # 2 log 2
        tensor(1.3863)
    """
    joint, marginal = scores.reduce("softplus", clip)
    return softplus(-clipped(joint, clip)).mean() + mean_marginal(scores, marginal)
