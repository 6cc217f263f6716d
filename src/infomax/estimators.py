"""Estimators as modules: they store options and call :mod:`infomax.functional`.

Each turns the scores of joint and marginal pairs into a loss to minimise, and, apart from it, into an amount of
information in nats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from infomax import functional as F
from infomax._checks import check_choice, check_clip, check_number
from infomax.functional.fdivergence import MEASURES
from infomax.functional.means import log_mean_exp_marginal
from infomax.scores import PairScores

__all__ = [
    "MINE",
    "NWJ",
    "SMILE",
    "DonskerVaradhan",
    "Estimator",
    "FDivergence",
    "InfoNCE",
    "JensenShannon",
    "build_estimator",
]

Bound = Literal["lower", "none"]


class Estimator(nn.Module, ABC):
    """A loss to minimise, and an estimate in nats, of scores.

    Subclass it with the two methods below to add your own: everything in the library takes it by ``estimator=``.
    """

    bound: Bound = "lower"
    """``"lower"`` if the estimate is in expectation at most the mutual information, for any critic."""

    @abstractmethod
    def forward(self, scores: PairScores) -> Tensor:
        """Return the loss, a scalar."""

    def mutual_information(self, scores: PairScores) -> Tensor:
        """Return the estimate in nats, a scalar without gradient."""
        with torch.no_grad():
            return self._estimate(scores).detach()

    @abstractmethod
    def _estimate(self, scores: PairScores) -> Tensor: ...


class InfoNCE(Estimator):
    """Pick the joint pair among a global's marginal ones: :func:`~infomax.functional.infonce_loss`.

    Example:
        >>> import torch
        >>> from infomax import InfoNCE, functional as F
        >>> scores = F.dense_scores(100.0 * torch.eye(8))
        >>> f"{InfoNCE().mutual_information(scores):.3f} nats, the ceiling log 8"
        '2.079 nats, the ceiling log 8'
    """

    def forward(self, scores: PairScores) -> Tensor:
        return F.infonce_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.infonce_estimate(scores)


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


class DonskerVaradhan(Estimator):
    """The Donsker-Varadhan bound: :func:`~infomax.functional.dv_loss`.

    Example:
        >>> import torch
        >>> from infomax import DonskerVaradhan, functional as F
        >>> DonskerVaradhan().mutual_information(F.dense_scores(3.0 * torch.eye(4)))
        tensor(3.)
    """

    def forward(self, scores: PairScores) -> Tensor:
        return F.dv_loss(scores)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


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
        if measure == "chi2":  # Rényi's information, not Shannon's
            self.bound = "none"

    def forward(self, scores: PairScores) -> Tensor:
        return F.fdivergence_loss(scores, self.measure, clip=self.clip)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.fdivergence_estimate(scores, self.measure, clip=self.clip)

    def extra_repr(self) -> str:
        return f"measure={self.measure!r}, clip={self.clip}"


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


class MINE(Estimator):
    """Donsker-Varadhan with a bias-corrected gradient: :func:`~infomax.functional.mine_loss`.

    The moving average of the mean of e^T lives in a buffer, as its logarithm, and is updated by each call in training
    mode.

    Args:
        rate: weight of the newest batch in the moving average, in (0, 1].

    Raises:
        ValueError: rate is not in (0, 1].

    Example:
        >>> import torch
        >>> from infomax import MINE, functional as F
        >>> MINE(rate=0.01)(F.dense_scores(3.0 * torch.eye(4)))
        tensor(-3.)
    """

    log_average: Tensor

    def __init__(self, *, rate: float = 0.01) -> None:
        super().__init__()
        if not 0 < check_number("rate", rate) <= 1:
            raise ValueError(f"rate must be in (0, 1], got {rate}")
        self.rate = rate
        # -inf: nothing seen yet, and the first batch then counts whole.
        self.register_buffer("log_average", torch.tensor(-torch.inf))

    def forward(self, scores: PairScores) -> Tensor:
        marginal = scores.reduce("logsumexp").marginal  # with a graph: the loss reads the same
        with torch.no_grad():
            log_mean = log_mean_exp_marginal(scores, marginal).to(self.log_average.dtype)
            log_rate = self.log_average.new_tensor(self.rate).log()
            older = self.log_average + torch.log1p(-log_rate.exp())
            average = torch.where(self.log_average == -torch.inf, log_mean, torch.logaddexp(older, log_mean + log_rate))
            if self.training:
                self.log_average.copy_(average)
        return F.mine_loss(scores, average)

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


_ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "infonce": InfoNCE,
    "jsd": JensenShannon,
    "dv": DonskerVaradhan,
    "nwj": NWJ,
    "smile": SMILE,
    "mine": MINE,
}


def build_estimator(estimator: str | nn.Module) -> Estimator:
    """Return an estimator from its short name, or the module given.

    Args:
        estimator: ``"infonce"``, ``"jsd"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, an f-divergence (``"kl"``,
            ``"rkl"``, ``"hellinger"``, ``"chi2"``, ``"gan"``), or a module with ``forward(scores)`` and
            ``mutual_information(scores)``.

    Raises:
        TypeError: it is neither a name nor such a module.
        ValueError: the name is unknown.
    """
    if isinstance(estimator, nn.Module):
        if not hasattr(estimator, "mutual_information"):
            raise TypeError(
                "estimator must offer mutual_information(scores) beside forward(scores), which "
                f"{type(estimator).__name__} does not; subclass infomax.estimators.Estimator"
            )
        return cast("Estimator", estimator)
    if not isinstance(estimator, str):
        raise TypeError(f"estimator must be a short name or a module, got {type(estimator).__name__}")
    check_choice("estimator", estimator, (*_ESTIMATORS, *MEASURES))
    return _ESTIMATORS[estimator]() if estimator in _ESTIMATORS else FDivergence(estimator)
