"""Jensen-Shannon as a module, and SMILE, which is trained by it."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax._checks import check_choice, check_clip
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["SMILE", "JensenShannon"]


class JensenShannon(Estimator):
    """Tell joint from marginal pairs: :func:`~infomax.functional.jsd_loss`.

    Its loss is no amount of information. At its optimum the critic is the log density ratio, which Donsker-Varadhan and
    NWJ are attained by: the estimate puts the same scores into one of the two, a lower bound for any critic.

    Args:
        clip: bring all scores into [-clip, clip] in the loss.
        read: what the estimate is: ``"dv"``, :func:`~infomax.functional.dv_estimate`, tighter and biased upwards in
            small batches; or ``"nwj"``, unbiased: the critic plus 1 in NWJ, which is
            :func:`~infomax.functional.tuba_estimate` with a baseline of 1, of scores brought into [-clip, clip].

    Raises:
        TypeError: clip is no number.
        ValueError: clip is not positive, or ``read`` is neither of the two.

    Example:
        >>> import torch
        >>> from infomax import JensenShannon, functional as F
        >>> JensenShannon()(F.dense_scores(torch.zeros(8, 8)))
        tensor(1.3863)
        >>> JensenShannon(read="nwj").mutual_information(F.dense_scores(3.0 * torch.eye(8)))
        tensor(3.)
    """

    bias = "up in small batches (read by NWJ: none)"
    variance = "of the loss low, of the reading as DV's"

    def __init__(self, *, clip: float | None = None, read: str = "dv") -> None:
        super().__init__()
        check_choice("read", read, ("dv", "nwj"))
        self.clip = check_clip(clip)
        self.read = read

    def forward(self, scores: PairScores) -> Tensor:
        return F.jsd_loss(scores, clip=self.clip)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores) if self.read == "dv" else F.tuba_estimate(scores, clip=self.clip)

    def extra_repr(self) -> str:
        return f"clip={self.clip}, read={self.read!r}"


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
    bias = "up: the largest marginal scores are cut"
    variance = "moderate: bounded by clip"

    def __init__(self, *, clip: float | None = 5.0) -> None:
        super().__init__()
        self.clip = check_clip(clip)

    def forward(self, scores: PairScores) -> Tensor:
        return F.jsd_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.smile_estimate(scores, clip=self.clip)
