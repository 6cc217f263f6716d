"""FLO as a module."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax import functional as F
from infomax._checks import check_clip
from infomax.estimators.base import Estimator
from infomax.scores import PairScores

__all__ = ["FLO"]


class FLO(Estimator):
    """Contrastive Fenchel-Legendre: :func:`~infomax.functional.flo_loss`.

    It needs a second function of the joint pairs beside the scores, which a loss with one critic does not have: call it
    with the scores of two critics, and train both. A loss that calls it with one is told so.

    Args:
        clip: bring all scores and u into [-clip, clip].

    Raises:
        TypeError: clip is no number; in a call, ``u`` is missing.
        ValueError: clip is not positive.

    Example:
        >>> import torch
        >>> from infomax import FLO, BilinearCritic, DotCritic
        >>> critic, second = DotCritic(16, 8, units=32), BilinearCritic(16, 8)
        >>> local, global_ = torch.randn(4, 16, 2, 2), torch.randn(4, 8)
        >>> FLO()(critic(local, global_), second(local, global_)).backward()
    """

    bias = "none"
    variance = "high: grows as e^I"

    def __init__(self, *, clip: float | None = None) -> None:
        super().__init__()
        self.clip = check_clip(clip)

    def forward(self, scores: PairScores, u: Tensor | PairScores | None = None) -> Tensor:
        """Return the loss; ``u`` as in :func:`~infomax.functional.flo_loss`."""
        return F.flo_loss(scores, _given(u), clip=self.clip)

    def mutual_information(self, scores: PairScores, u: Tensor | PairScores | None = None) -> Tensor:
        """Return the estimate in nats; ``u`` as in :func:`~infomax.functional.flo_loss`."""
        with torch.no_grad():
            return F.flo_estimate(scores, _given(u), clip=self.clip).detach()

    def _estimate(self, scores: PairScores) -> Tensor:
        return self.mutual_information(scores)


def _given(u: Tensor | PairScores | None) -> Tensor | PairScores:
    if u is None:
        raise TypeError(
            "u must be given beside scores, one value for each joint pair or the scores of a second critic, got "
            "neither: FLO(...)(critic(local, global_), second_critic(local, global_))"
        )
    return u
