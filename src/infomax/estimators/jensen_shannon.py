"""Jensen-Shannon as a module, and SMILE, which is trained by it."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax._checks import check_clip
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["SMILE", "JensenShannon"]


class JensenShannon(Estimator):
    """Tell joint from marginal pairs: :func:`~infomax.functional.jsd_loss`.

    Its loss is no amount of information; the estimate puts the same scores into Donsker-Varadhan, which is a lower
    bound for any critic.

    Args:
        clip: bring all scores into [-clip, clip] in the loss.

    Example:
        >>> import torch
        >>> from infomax import JensenShannon, functional as F
        >>> JensenShannon()(F.dense_scores(torch.zeros(8, 8)))
        tensor(1.3863)
    """

    def __init__(self, *, clip: float | None = None) -> None:
        super().__init__()
        self.clip = check_clip(clip)

    def forward(self, scores: PairScores) -> Tensor:
        return F.jsd_loss(scores, clip=self.clip)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


class SMILE(Estimator):
    """Trained by Jensen-Shannon, read through a clipped Donsker-Varadhan: :func:`~infomax.functional.smile_estimate`.

    Args:
        clip: bound of the marginal scores' magnitude in the estimate.

    Example:
        >>> import torch
        >>> from infomax import SMILE, functional as F
        >>> SMILE(clip=5.0).mutual_information(F.dense_scores(torch.zeros(4, 4)))
        tensor(0.)
    """

    bound = "none"

    def __init__(self, *, clip: float | None = 5.0) -> None:
        super().__init__()
        self.clip = check_clip(clip)

    def forward(self, scores: PairScores) -> Tensor:
        return F.jsd_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.smile_estimate(scores, clip=self.clip)
