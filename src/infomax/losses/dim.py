"""The complete Deep InfoMax objective: the global, the local and the prior term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax._checks import check_number, check_positive, check_sizes
from infomax._precision import device_of, place
from infomax.critics import CriticLike
from infomax.estimators import EstimatorLike
from infomax.losses.global_dim import GlobalDIMLoss
from infomax.losses.local_dim import LocalDIMLoss
from infomax.losses.options import Gather, check_negatives_options
from infomax.losses.parts import check_not_shared, check_parts, check_prior
from infomax.losses.sizing import sized
from infomax.pairs.checks import check_features, check_index
from infomax.pairs.processes import Processes
from infomax.pairs.rows import present_examples
from infomax.prior import PriorMatchingLoss
from infomax.scores import PairScores

__all__ = ["DIMInformation", "DIMLoss", "DIMScores", "DIMTerms"]


class DIMTerms(NamedTuple):
    """The objective and its terms before weighting; a term whose weight is 0 is not computed and is None.

    Backpropagate ``loss``: ``objective(local, global_).loss.backward()``.

    Example:
        >>> import torch
        >>> from infomax import DIMLoss
        >>> terms = DIMLoss(local_dim=8, global_dim=4, gamma=0.0)(torch.randn(4, 8, 2, 2), torch.randn(4, 4))
        >>> terms.prior is None, bool(terms.loss == terms.local)
        (True, True)
    """

    loss: Tensor
    local: Tensor | None
    global_: Tensor | None
    prior: Tensor | None


class DIMScores(NamedTuple):
    """The scores of the information terms; None for a term whose weight is 0.

    Example:
        >>> import torch
        >>> from infomax import DIMLoss, JensenShannon
        >>> loss_fn = DIMLoss(local_dim=8, global_dim=4, gamma=0.0)
        >>> scores = loss_fn.scores(torch.randn(4, 8, 2, 2), torch.randn(4, 4))
        >>> scores.global_ is None, JensenShannon()(scores.local).shape
        (True, torch.Size([]))
    """

    local: PairScores | None
    global_: PairScores | None


class DIMInformation(NamedTuple):
    """Estimates of the mutual information with the local features and with the whole map, in nats.

    An estimate is None where the weight of its term is 0.

    Example:
        >>> import torch
        >>> from infomax import DIMLoss
        >>> loss_fn = DIMLoss(local_dim=8, global_dim=4, gamma=0.0)
        >>> nats = loss_fn.mutual_information(torch.randn(4, 8, 2, 2), torch.randn(4, 4))
        >>> nats.local.shape, nats.global_ is None
        (torch.Size([]), True)
    """

    local: Tensor | None
    global_: Tensor | None


class DIMLoss(nn.Module):
    r"""The Deep InfoMax objective: the weighted sum of the global, the local and the prior-matching term.

    .. math:: \mathcal{L} = \alpha \, \mathcal{L}_\mathrm{global} + \beta \, \mathcal{L}_\mathrm{local}
              + \gamma \, \mathcal{L}_\mathrm{prior}

    The paper's DIM(G) has alpha = 1, beta = 0 and gamma = 1; its DIM(L) has alpha = 0, beta = 1 and gamma = 0.1, which
    is the default. Each information term has its own critic.

    Args:
        local_dim: channels c of the map.
        global_dim: channels d of the global features.
        local_size: spatial size of the map; only the global term needs it.
        alpha: weight of :class:`GlobalDIMLoss`.
        beta: weight of :class:`LocalDIMLoss`.
        gamma: weight of :class:`~infomax.PriorMatchingLoss`. It scales the losses of the encoder and the discriminator.
        estimator: a short name, a callable or a module. Each information term builds its own estimator from a name or a
            callable. A module that holds state, such as :class:`~infomax.MINE`, can serve only one term.
        critic: a short name, a callable or a module. A module with state can serve only one term.
        units: width of critics given by name, as in :class:`LocalDIMLoss`.
        prior: ``"uniform"``, ``"normal"``, or a module, such as a :class:`~infomax.PriorMatchingLoss` with other
            options, that is called with the global features and a ``generator``.
        in_batch: as in :class:`LocalDIMLoss`.
        sample_locations: as in :class:`LocalDIMLoss`, for the local term.
        sample_negatives: as in :class:`LocalDIMLoss`.
        gather: as in :class:`LocalDIMLoss`.
        process_group: as in :class:`LocalDIMLoss`.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shapes:
        Inputs as in :class:`LocalDIMLoss`; the result is a :class:`DIMTerms` of scalars.

    Raises:
        TypeError: as in :class:`LocalDIMLoss`; or a critic or estimator module with state is given for two terms; or a
            prior module takes no ``generator``.
        ValueError: as in :class:`LocalDIMLoss`; or a weight is negative, or all are 0; or ``local_size`` is missing
            where alpha is not 0. Options of a term with weight 0 are checked as well.

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
        global_dim: int,
        local_size: Sequence[int] | None = None,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        gamma: float = 0.1,
        estimator: EstimatorLike = "infonce",
        critic: CriticLike = "dot",
        units: int | None = None,
        prior: str | nn.Module = "uniform",
        sample_locations: int | None = None,
        in_batch: bool = True,
        sample_negatives: int | None = None,
        gather: Gather = False,
        process_group: dist.ProcessGroup | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        alpha, beta = check_number("alpha", alpha, at_least=0), check_number("beta", beta, at_least=0)
        gamma = check_number("gamma", gamma, at_least=0)
        local_dim, global_dim = check_positive("local_dim", local_dim), check_positive("global_dim", global_dim)
        if alpha == beta == gamma == 0:
            raise ValueError("alpha, beta and gamma must not all be 0: there would be nothing to train")
        if alpha and beta:
            check_not_shared("critic", critic)
            check_not_shared("estimator", estimator)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        # Options of a term with weight 0 are checked too, so that the weights cannot hide a wrong option.
        check_parts(critic, estimator, units)
        check_negatives_options(in_batch=in_batch, sample_negatives=sample_negatives, gather=gather)
        if gamma or prior is not None:
            check_prior(prior)
        if sample_locations is not None:
            check_positive("sample_locations", sample_locations)
        processes = Processes(process_group, gathers=bool(gather))
        self.processes = processes if gather else None
        if local_size is not None:
            local_size = check_sizes("local_size", local_size, at_least=0)
        self.global_term: GlobalDIMLoss | None = None
        if alpha:
            if local_size is None:
                raise ValueError("local_size must be given where alpha is not 0: the spatial size of the map")
            self.global_term = GlobalDIMLoss(
                local_dim,
                global_dim,
                local_size,
                estimator=estimator,
                critic=critic,
                units=units,
                in_batch=in_batch,
                sample_negatives=sample_negatives,
                gather=gather,
                process_group=process_group,
            )
        self.local_term: LocalDIMLoss | None = None
        if beta:
            self.local_term = LocalDIMLoss(
                local_dim,
                global_dim,
                estimator=estimator,
                critic=critic,
                units=units,
                sample_locations=sample_locations,
                in_batch=in_batch,
                sample_negatives=sample_negatives,
                gather=gather,
                process_group=process_group,
            )
        self.prior_term: nn.Module | None = None
        if gamma:
            self.prior_term = prior if isinstance(prior, nn.Module) else PriorMatchingLoss(global_dim, prior)
        named = prior if isinstance(prior, str) else type(prior).__name__
        for term in filter(None, (self.global_term, self.local_term)):
            term.part_of = f"DIMLoss, alpha={alpha!r}, beta={beta!r}, gamma={gamma!r}, prior={named}"
        place(self, device, dtype)

    @classmethod
    def from_features(cls, features: nn.Module, example_batch: Any, **options: Any) -> DIMLoss:
        """Build the objective for a module that returns both features, as :meth:`LocalDIMLoss.from_features` does.

        Example:
            >>> import torch
            >>> from infomax import DIMLoss, encoders
            >>> objective = DIMLoss.from_features(encoders.conv32(), torch.rand(1, 3, 32, 32), alpha=1.0)
            >>> objective.global_term.map_encoder.local_size
            (8, 8)
        """
        return cls(**sized(features, example_batch, options, "local_dim", "global_dim", "local_size"))

    def forward(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> DIMTerms:
        """Return the objective and its terms. The arguments are those of :meth:`LocalDIMLoss.forward`."""
        given: dict[str, Any] = {"batch": batch, "negatives": negatives, "group": group, "generator": generator}
        local_loss = global_loss = prior_loss = None
        weighted = []
        if self.local_term is not None:
            local_loss = self.local_term(local, global_, mask, **given)
            weighted.append(self.beta * local_loss)
        if self.global_term is not None:
            global_loss = self.global_term(local, global_, mask, **given)
            weighted.append(self.alpha * global_loss)
        if self.prior_term is not None:
            unused = local if self.local_term is None and self.global_term is None else None
            prior_loss = self._prior_loss(self.prior_term, global_, mask, generator, unused, batch)
            weighted.append(self.gamma * prior_loss)
        return DIMTerms(torch.stack(weighted).sum(), local_loss, global_loss, prior_loss)

    @staticmethod
    def _check_unused(local: Tensor | None, global_: Tensor, mask: Tensor | None, batch: Tensor | None) -> None:
        """Raise for a mask or an index that does not fit, although the prior term alone needs no local features."""
        if local is None or (mask is None and batch is None):
            return
        check_features(local, global_, mask, batch=batch, at_least=0)
        if batch is not None:
            check_index(batch, local, len(global_))

    def _prior_loss(
        self,
        prior: nn.Module,
        global_: Tensor,
        mask: Tensor | None,
        generator: torch.Generator | None,
        unused: Tensor | None,
        batch: Tensor | None,
    ) -> Tensor:
        together = self.processes is not None and self.processes.several

        def compute() -> Tensor:
            self._check_unused(unused, global_, mask, batch)
            kept = present_examples(mask, at_least=0 if together else 1)
            present = global_ if kept is None else global_[kept]
            loss: Tensor
            if not (together and present.ndim and len(present) == 0):
                loss = prior(present, generator=generator)
                return loss
            # This process has no example, but others may have some: its term is 0. The module is still called, on
            # zeros, and the globals stay in the graph, so that the backward pass exchanges the same gradients on all
            # processes.
            instead = global_.new_zeros(2, *global_.shape[1:]) + global_.flatten()[:0].sum()
            loss = 0 * prior(instead, generator=generator)
            return loss

        if self.processes is None or not together:
            return compute()
        device = device_of(prior, global_)
        return self.processes.everywhere(compute, "the prior term", device)

    def scores(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> DIMScores:
        """Return the scores of both information terms, as :meth:`LocalDIMLoss.scores` does for one."""
        given: dict[str, Any] = {"batch": batch, "negatives": negatives, "group": group, "generator": generator}
        return DIMScores(
            *(
                None if term is None else term.scores(local, global_, mask, **given)
                for term in (self.local_term, self.global_term)
            )
        )

    def mutual_information(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
        gather: Gather = False,
    ) -> DIMInformation:
        """Return the estimates of both information terms, as :meth:`LocalDIMLoss.mutual_information` does for one."""
        given: dict[str, Any] = {"batch": batch, "negatives": negatives, "group": group, "generator": generator}
        return DIMInformation(
            *(
                None if term is None else term.mutual_information(local, global_, mask, **given, gather=gather)
                for term in (self.local_term, self.global_term)
            )
        )

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}"
