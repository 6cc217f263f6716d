"""Information between two vectors per example: two views, two modalities, two towers."""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from infomax._checks import check_flag, check_floating, check_positive, shape_of
from infomax._precision import place
from infomax.critics import CriticLike
from infomax.estimators import EstimatorLike
from infomax.losses.base import Gather, InformationLoss
from infomax.pairs.own import pair_own
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import Rows, pair_rows
from infomax.scores import DenseScores, PairedScores, PairScores, StreamedScores

__all__ = ["InfoMaxLoss"]


class InfoMaxLoss(InformationLoss):
    r"""Minus a bound on the information between two vectors of the same example.

    .. math:: \mathcal{L} = -\hat{I}_T\big( X; Y \big)

    With the right options, this is the loss of CLIP
    (``critic=partial(CosineCritic, units=None, temperature="learned")``), of SigLIP (the same critic with
    ``bias=-10.0``, and ``estimator="logistic"``) or of SimCLR (``same_side=True`` and a fixed temperature). None of
    them holds an N x N table of scores, forward or backward.

    Args:
        x_dim: channels of x.
        y_dim: channels of y.
        estimator: as in :class:`~infomax.LocalDIMLoss`.
        critic: as in :class:`~infomax.LocalDIMLoss`, with x as the local and y as the global side.
        units: width of a critic given by name; the critic's default when None.
        symmetric: whether to average over both directions: each y with all x, and each x with all y. Without
            ``same_side``, this changes only estimators that normalise per global, such as InfoNCE; other estimators
            read the same pairs in both directions. Estimators that need a density of y given x (CLUB, leave-one-out)
            use one direction.
        same_side: whether the other examples' vectors of the same side are negatives too. x and y must have the same
            number of channels.
        in_batch: as in :class:`~infomax.LocalDIMLoss`.
        sample_negatives: as in :class:`~infomax.LocalDIMLoss`.
        gather: as in :class:`~infomax.LocalDIMLoss`.
        process_group: as in :class:`~infomax.LocalDIMLoss`.
        reduction: as in :class:`~infomax.LocalDIMLoss`; ``"none"`` returns one value per example.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shapes:
        - x: (N, x_dim)
        - y: (N, y_dim)
        - negatives: (L, x_dim), more x that are marginal for every y, such as a queue. Or (N, M, x_dim), M negatives
          for each y alone, which needs ``in_batch=False``. Both need ``symmetric=False`` and ``same_side=False``
        - group: (N,) integers; examples of the same group are not negatives of each other. With (N,), the given
          negatives are negatives of every example; with (N + L,), they have groups too
        - result: a scalar, float32 (float64 for float64 vectors), or (N,) with ``reduction="none"``

    Raises:
        TypeError: as in :class:`~infomax.LocalDIMLoss`.
        ValueError: as in :class:`~infomax.LocalDIMLoss`; or options exclude each other.

    Source:
        van den Oord et al. 2018 (InfoNCE); Chen et al. 2020 (SimCLR), eq. 1; Radford et al. 2021 (CLIP), figure 3; Zhai
        et al. 2023 (SigLIP), algorithm 1.

    Example:
        >>> import torch
        >>> from infomax import InfoMaxLoss
        >>> loss_fn = InfoMaxLoss(x_dim=64, y_dim=32, estimator="infonce", critic="cosine", symmetric=True)
        >>> x, y = torch.randn(16, 64), torch.randn(16, 32)
        >>> loss_fn(x, y).backward()
        >>> nats = loss_fn.mutual_information(x, y)
    """

    global_name = "y"

    def __init__(
        self,
        x_dim: int,
        y_dim: int,
        *,
        estimator: EstimatorLike = "infonce",
        critic: CriticLike = "cosine",
        units: int | None = None,
        symmetric: bool = True,
        same_side: bool = False,
        in_batch: bool = True,
        sample_negatives: int | None = None,
        gather: Gather = False,
        process_group: dist.ProcessGroup | None = None,
        reduction: Literal["mean", "none"] = "mean",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        x_dim, y_dim = check_positive("x_dim", x_dim), check_positive("y_dim", y_dim)
        super().__init__(
            x_dim,
            y_dim,
            estimator=estimator,
            critic=critic,
            units=units,
            in_batch=in_batch,
            sample_negatives=sample_negatives,
            gather=gather,
            process_group=process_group,
            reduction=reduction,
        )
        if same_side and x_dim != y_dim:
            raise ValueError(f"same_side must be False where x_dim and y_dim differ, got {x_dim} and {y_dim}")
        for name, given in (("symmetric", symmetric), ("same_side", same_side)):
            if check_flag(name, given) and not in_batch:
                raise ValueError(f"{name} must be False with in_batch=False, which takes none of the other examples")
        if same_side and getattr(self.estimator, "needs_density", False):
            raise ValueError(
                f"same_side must be False where the estimator is {type(self.estimator).__name__}: it needs log "
                "densities of y given x, and scores of two y are not such densities"
            )
        if same_side and sample_negatives is not None:
            raise ValueError(
                "sample_negatives must be None with same_side=True: the first asks for fewer negatives, the second "
                "for more"
            )
        self.symmetric = symmetric
        self.same_side = same_side
        place(self, device, dtype)

    def pair(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
        at_least: int = 2,
    ) -> Rows:
        del mask, batch  # vectors have no locations
        if negatives is not None and (self.symmetric or self.same_side):
            raise ValueError(
                "negatives must be None with symmetric=True or same_side=True: they are x without a matching y"
            )
        for name, vectors in (("x", local), ("y", global_)):
            if check_floating(name, vectors).ndim != 2:
                raise ValueError(f"{name} must have shape (N, channels), got {shape_of(vectors)}")
        if isinstance(negatives, Tensor) and negatives.ndim == 3:
            return self._pair_own(local, global_, negatives, group)
        rows = pair_rows(
            local,
            global_,
            negatives=negatives,
            group=group,
            in_batch=self.in_batch,
            sample_negatives=self.sample_negatives,
            generator=generator,
            at_least=at_least,
            names=("x", "y"),
        )
        self.critic.check(local, global_, names=("x", "y"))
        if not self.same_side:
            return rows
        pairing = rows.pairing
        twice = Pairing(
            pairing.examples,
            1,
            pairing.key_example,
            locations=pairing.locations,
            key_group=torch.cat([pairing.key_group, pairing.key_group]),
            query_group=pairing.query_group,
            groups=pairing.groups,
            names=pairing.names,
        )
        return Rows(torch.cat([rows.local, rows.global_]), rows.global_, twice)

    def _pair_own(self, x: Tensor, y: Tensor, negatives: Tensor, group: Tensor | None) -> Rows:
        for reason, given in (
            ("in_batch=True: each y has its own negatives or those of all; pass in_batch=False", self.in_batch),
            ("gather=True: they belong to the examples of one process", self.gather),
            ("group: groups apply to examples, not to these negatives", group is not None),
        ):
            if given:
                raise ValueError(f"negatives must not be (N, M, x_dim), got {shape_of(negatives)}, with {reason}")
        rows = pair_own(x, y, negatives)
        self.critic.check(x, y, names=("x", "y"))
        return rows

    def forward(  # type: ignore[override]  # vectors have no locations to mask
        self,
        x: Tensor,
        y: Tensor,
        *,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the loss.

        Args:
            x: one vector per example, (N, x_dim).
            y: the other vector of each example, (N, y_dim).
            negatives: more x that are marginal for every y, (L, x_dim); or M for each y alone, (N, M, x_dim).
            group: an integer per example, (N,); examples of the same group are not negatives of each other. Of length
                (N + L,) where the given negatives have groups too.
            generator: the generator that draws negatives; torch's global one when None.
        """
        return super().forward(x, y, negatives=negatives, group=group, generator=generator)

    def scores(  # type: ignore[override]
        self,
        x: Tensor,
        y: Tensor,
        *,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> PairScores:
        """Return the critic's scores of each y with all x, one direction only; arguments as in :meth:`forward`."""
        return super().scores(x, y, negatives=negatives, group=group, generator=generator)

    def mutual_information(  # type: ignore[override]
        self,
        x: Tensor,
        y: Tensor,
        *,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
        gather: Gather = False,
    ) -> Tensor:
        """Return the estimate in nats, as :meth:`LocalDIMLoss.mutual_information` does; no state changes."""
        return super().mutual_information(x, y, negatives=negatives, group=group, generator=generator, gather=gather)

    def score(self, rows: Rows) -> PairScores:
        scores = super().score(rows)
        if not rows.own:
            return scores
        joint, examples = scores.joint(), len(rows.local) // (1 + rows.own)
        return PairedScores(joint[:examples], joint[examples:].view(examples, rows.own))

    def directions(self, rows: Rows) -> list[PairScores]:
        first = self.score(rows)
        if rows.own:
            return [first]
        if not self.symmetric or not (self.same_side or self._directional()):
            return [first]
        other = first
        if self.same_side:
            x, y = rows.local[: len(rows.global_)], rows.global_
            other = self.critic.score_rows(x, torch.cat([y, x]), rows.pairing)
        elif isinstance(first, StreamedScores):
            return [first, first.sharing_reverse()]
        if not isinstance(other, StreamedScores | DenseScores):
            raise TypeError(
                f"critic must give streamed or dense scores with symmetric=True, got {type(other).__name__}"
            )
        return [first, other.transposed(rows.pairing)]

    def _directional(self) -> bool:
        """Return whether the value depends on the direction; log densities of y given x have one direction only."""
        return getattr(self.estimator, "directional", True) and not getattr(self.estimator, "needs_density", False)

    def extra_repr(self) -> str:
        return f"symmetric={self.symmetric}, same_side={self.same_side}, {super().extra_repr()}"
