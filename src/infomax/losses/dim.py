"""The whole Deep InfoMax objective: global, local, prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_number
from infomax.losses.global_dim import GlobalDIMLoss
from infomax.losses.local_dim import LocalDIMLoss
from infomax.prior import PriorMatchingLoss

__all__ = ["DIMLoss", "DIMTerms"]


class DIMTerms(NamedTuple):
    """The objective and its terms before weighting; a term whose weight is 0 is not computed, and None."""

    loss: Tensor
    local: Tensor | None
    global_: Tensor | None
    prior: Tensor | None


class DIMLoss(nn.Module):
    r"""Deep InfoMax: the weighted sum of the global, the local and the prior-matching term.

    .. math:: \mathcal{L} = \alpha \, \mathcal{L}_\mathrm{global} + \beta \, \mathcal{L}_\mathrm{local}
              + \gamma \, \mathcal{L}_\mathrm{prior}

    The paper's DIM(G) is alpha = 1, beta = 0, gamma = 1; its DIM(L) alpha = 0, beta = 1, gamma = 0.1, the default.
    Every term has its own critic.

    Args:
        local_dim: channels c of the map.
        global_dim: channels d of the global features.
        local_size: spatial size of the map; needed by the global term only.
        alpha: weight of :class:`GlobalDIMLoss`.
        beta: weight of :class:`LocalDIMLoss`.
        gamma: weight of :class:`~infomax.PriorMatchingLoss`. It scales both players of that game.
        estimator: a short name, or a module; both information terms use it.
        critic: a short name; both information terms get their own. For modules, set up the terms yourself.
        units: width of the critics.
        prior: ``"uniform"``, ``"normal"``, or a module such as :class:`~infomax.PriorMatchingLoss` with options of its
            own: it is called with the global features and a ``generator``.
        locations: of the local term, as in :class:`LocalDIMLoss`.
        negatives: as in :class:`LocalDIMLoss`.
        gather: as in :class:`LocalDIMLoss`.

    Shapes:
        As :class:`LocalDIMLoss`, to :class:`DIMTerms` of scalars.

    Raises:
        TypeError: as :class:`LocalDIMLoss`, or a critic module is given for two terms.
        ValueError: as :class:`LocalDIMLoss`; a weight is negative or all are 0; ``local_size`` is missing where alpha
            is not 0.

    Source:
        Hjelm et al. 2019, eq. 8.

    Example:
        >>> import torch
        >>> from infomax import DIMLoss
        >>> objective = DIMLoss(local_dim=128, global_dim=64, beta=1.0, gamma=0.1, units=256)
        >>> out = objective(torch.randn(4, 128, 8, 8), torch.randn(4, 64))
        >>> out.loss.backward()
        >>> out.global_ is None
        True
    """

    def __init__(
        self,
        local_dim: int,
        local_size: Sequence[int] | None = None,
        global_dim: int | None = None,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        gamma: float = 0.1,
        estimator: str | nn.Module = "infonce",
        critic: str | nn.Module = "dot",
        units: int | None = None,
        prior: str | nn.Module = "uniform",
        locations: int | None = None,
        negatives: int | None = None,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if global_dim is None:
            raise TypeError("global_dim must be given: the channels of the global features")
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if not check_number(name, weight) >= 0:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        if alpha == beta == gamma == 0:
            raise ValueError("alpha, beta and gamma must not all be 0: there would be nothing to train")
        if alpha and beta and isinstance(critic, nn.Module):
            raise TypeError(
                "critic must be a short name where alpha and beta are both in use, because every term has its own, got "
                f"{type(critic).__name__}; combine a GlobalDIMLoss and a LocalDIMLoss instead"
            )
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.global_term: GlobalDIMLoss | None = None
        if alpha:
            if local_size is None:
                raise ValueError("local_size must be given where alpha is not 0: the spatial size of the map")
            self.global_term = GlobalDIMLoss(
                local_dim,
                local_size,
                global_dim,
                estimator=estimator,
                critic=critic,
                units=units,
                negatives=negatives,
                gather=gather,
            )
        self.local_term: LocalDIMLoss | None = None
        if beta:
            self.local_term = LocalDIMLoss(
                local_dim,
                global_dim,
                estimator=estimator,
                critic=critic,
                units=units,
                locations=locations,
                negatives=negatives,
                gather=gather,
            )
        self.prior_term: nn.Module | None = None
        if gamma:
            self.prior_term = prior if isinstance(prior, nn.Module) else PriorMatchingLoss(global_dim, prior)

    def forward(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> DIMTerms:
        """Return the objective and its terms. Arguments as :meth:`LocalDIMLoss.forward`."""
        local_loss = global_loss = prior_loss = None
        weighted = []
        if self.local_term is not None:
            local_loss = self.local_term(local, global_, mask, generator=generator)
            weighted.append(self.beta * local_loss)
        if self.global_term is not None:
            global_loss = self.global_term(local, global_, mask, generator=generator)
            weighted.append(self.alpha * global_loss)
        if self.prior_term is not None:
            prior_loss = self.prior_term(global_, generator=generator)
            weighted.append(self.gamma * prior_loss)
        return DIMTerms(torch.stack(weighted).sum(), local_loss, global_loss, prior_loss)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}"
