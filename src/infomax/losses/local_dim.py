"""The local objective: information between every location and the global feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax import distributed
from infomax._checks import check_positive
from infomax.critics import build_critic
from infomax.estimators import build_estimator
from infomax.layout import pair_rows
from infomax.losses.statistics import untouched_statistics
from infomax.scores import PairScores

__all__ = ["LocalDIMLoss"]


class LocalDIMLoss(nn.Module):
    r"""Deep InfoMax (local): minus a bound on the information between locations and globals of the same example.

    .. math:: \mathcal{L} = -\hat{I}_T\big( X_\mathrm{loc}; Y \big)

    A critic scores all pairs of a local with a global feature; those of the same example are joint pairs, those of
    different examples marginal ones; an estimator turns the scores into the loss. Critic and encoder are trained by
    the same backward pass: give the optimizer the parameters of both.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        estimator: ``"infonce"``, ``"jsd"``, ``"dv"``, ``"nwj"``, ``"smile"``, ``"mine"``, ``"tuba"``,
            ``"alpha_tuba"``, ``"wasserstein"``, ``"club"``, ``"leave_one_out"``, an f-divergence (``"kl"``, ``"rkl"``,
            ``"hellinger"``, ``"chi2"``, ``"gan"``), or a module.
        critic: ``"dot"``, ``"concat"``, ``"bilinear"``, ``"cosine"``, ``"gaussian"``, ``"lipschitz"``, or a
            module: a :class:`~infomax.critics.Critic`, or one that scores aligned rows (B, c) and (B, d).
        units: width of a critic given by name; its own default when None (dot 2048, concat 512, others 256).
        locations: draw this many locations of each example a step, before the projection, so that it saves that work.
        negatives: score each global against the locations of this many other examples instead of all.
        gather: take negatives from the other processes of the default process group as well.

    Shapes:
        - local: (N, c, \*spatial), any number of spatial axes, N at least 2
        - global\_: (N, d), or (N, d, \*spatial) for several globals an example
        - mask: (N, \*spatial), bool, True at a real location; what is False has no influence on anything
        - result: a scalar, float32 (float64 for float64 features)

    Raises:
        TypeError: a dtype is not real floating, the mask is not bool, an option has the wrong type.
        ValueError: ranks, batch sizes, channels, devices or the mask do not fit; N is 1; a name is unknown; the
            estimator needs log densities, and the critic does not make them.

    Numerics:
        Scores, sums and the loss are float32 also under autocast. Memory of the pairs stays within the workspace of
        :func:`infomax.ops.use_workspace`, whatever the batch.

    Source:
        Hjelm et al. 2019, eq. 6.

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss
        >>> loss_fn = LocalDIMLoss(local_dim=128, global_dim=64, units=256)
        >>> local, global_ = torch.randn(8, 128, 8, 8), torch.randn(8, 64)
        >>> loss_fn(local, global_).backward()
        >>> nats = loss_fn.mutual_information(local, global_)
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        estimator: str | nn.Module = "infonce",
        critic: str | nn.Module = "dot",
        units: int | None = None,
        locations: int | None = None,
        negatives: int | None = None,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.critic = build_critic(critic, local_dim, global_dim, units)
        self.estimator = build_estimator(estimator)
        if getattr(self.estimator, "needs_density", False) and not self.critic.is_density:
            raise ValueError(
                f"critic must make log densities for {type(self.estimator).__name__}, as critic='gaussian' does, got "
                f"{type(self.critic).__name__}"
            )
        self.locations = None if locations is None else check_positive("locations", locations)
        self.negatives = None if negatives is None else check_positive("negatives", negatives)
        if gather and negatives is not None:
            raise ValueError("negatives must be None with gather=True: the one asks for fewer, the other for more")
        self.gather = gather

    def forward(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            local: local features.
            global_: global features.
            mask: where the locations are real.
            generator: where drawn locations and negatives come from; torch's global one when None.
        """
        loss: Tensor = self.estimator(self.scores(local, global_, mask, generator=generator))
        return loss

    def scores(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> PairScores:
        """Return the critic's scores: put them into ``estimator`` for loss *and* information at the price of one.

        Example:
            >>> import torch
            >>> from infomax import LocalDIMLoss
            >>> loss_fn = LocalDIMLoss(local_dim=16, global_dim=8, units=32)
            >>> scores = loss_fn.scores(torch.randn(4, 16, 2, 2), torch.randn(4, 8))
            >>> loss, nats = loss_fn.estimator(scores), loss_fn.estimator.mutual_information(scores)
        """
        rows = pair_rows(local, global_, mask, locations=self.locations, negatives=self.negatives, generator=generator)
        scores = self.critic.score(rows)
        return distributed.gather_scores(scores) if self.gather else scores

    @torch.no_grad()
    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the estimate in nats, a scalar without gradient; no state changes, batch norm's included."""
        with untouched_statistics(self.critic):
            nats: Tensor = self.estimator.mutual_information(self.scores(local, global_, mask))
        return nats

    def extra_repr(self) -> str:
        return f"locations={self.locations}, negatives={self.negatives}, gather={self.gather}"
