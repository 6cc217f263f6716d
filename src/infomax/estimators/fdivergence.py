"""NWJ and the f-divergences as modules."""

from __future__ import annotations

from torch import Tensor

from infomax import functional as F
from infomax._checks import check_choice, check_clip
from infomax.estimators.base import Estimator
from infomax.functional.fdivergence import MEASURES
from infomax.scores import PairScores

__all__ = ["NWJ", "FDivergence"]


class NWJ(Estimator):
    """The Nguyen-Wainwright-Jordan bound: :func:`~infomax.functional.nwj_loss`.

    Args:
        clip: bring all scores into [-clip, clip], against overflow of its bare exponential.

    Example:
        >>> import torch
        >>> from infomax import NWJ, functional as F
        >>> NWJ(clip=20.0).mutual_information(F.dense_scores(torch.ones(4, 4)))
        tensor(0.)
    """

    bias = "none"
    variance = "high: grows as e^I"

    def __init__(self, *, clip: float | None = None) -> None:
        super().__init__()
        self.clip = check_clip(clip)

    def forward(self, scores: PairScores) -> Tensor:
        return F.nwj_loss(scores, clip=self.clip)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.nwj_estimate(scores, clip=self.clip)


class FDivergence(Estimator):
    """A variational f-divergence: :func:`~infomax.functional.fdivergence_loss`.

    Args:
        measure: ``"kl"``, ``"rkl"``, ``"hellinger"``, ``"chi2"`` or ``"gan"``.
        clip: bring all scores into [-clip, clip] in the loss.

    Raises:
        ValueError: the measure is unknown, or clip is not positive.

    Example:
        >>> import torch
        >>> from infomax import FDivergence, functional as F
        >>> FDivergence("chi2")(F.dense_scores(torch.zeros(4, 4)))
        tensor(0.)
    """

    def __init__(self, measure: str, *, clip: float | None = None) -> None:
        super().__init__()
        check_choice("measure", measure, MEASURES)
        self.measure = measure
        self.clip = check_clip(clip)
        self.bias, self.variance = "up in small batches", "high: grows as e^I"  # as what reads them, Donsker-Varadhan
        if measure == "kl":
            self.bias = "none"
        if measure == "chi2":  # Rényi's information, not Shannon's
            self.bound = "none"
            self.bias, self.variance = "reads Rényi's information of order 2", "very high: of squared density ratios"

    def forward(self, scores: PairScores) -> Tensor:
        return F.fdivergence_loss(scores, self.measure, clip=self.clip)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.fdivergence_estimate(scores, self.measure, clip=self.clip)

    def extra_repr(self) -> str:
        return f"measure={self.measure!r}, clip={self.clip}"
