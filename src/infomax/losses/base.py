"""The base class of the losses on pairs of features: a critic, an estimator and common methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax._checks import check_choice, check_positive
from infomax._compiling import uncompiled
from infomax._precision import device_of
from infomax._transforms import transformed
from infomax.critics import CriticLike
from infomax.critics.normalisation import check_rows_of_all
from infomax.estimators import EstimatorLike
from infomax.losses.agreement import settings_of
from infomax.losses.measuring import measuring
from infomax.losses.options import Gather, check_negatives_options
from infomax.losses.parts import build_parts, check_may_learn, check_per_global
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes
from infomax.pairs.rows import Rows
from infomax.pairs.shares import exchange_shares
from infomax.scores import DenseScores, PairScores, StreamedScores, gather_scores
from infomax.scores.gathered import check_gatherable

__all__ = ["Gather", "InformationLoss"]


class InformationLoss(nn.Module, ABC):
    """Minus a bound on the information between local and global features, for the pairs that a subclass forms.

    Args:
        local_dim: channels of the local rows that the critic scores.
        global_dim: channels of the global rows.
        estimator: a short name, a module or a factory.
        critic: a short name, a module or a factory.
        units: width of a critic given by name.
        in_batch: whether the other examples are negatives.
        sample_negatives: number of other examples that each global is scored against; all when None.
        gather: whether to take negatives from other processes as well; ``"ring"`` takes them from one process at a
            time.
        process_group: the group of these processes; the default group when None.
        reduction: ``"mean"`` or ``"none"``.
    """

    global_name: str = "global_"
    """The name of the global features in messages."""
    part_of: str = ""
    """The options of the objective that holds this loss as a term; processes must agree on them."""

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        estimator: EstimatorLike,
        critic: CriticLike,
        units: int | None,
        in_batch: bool,
        sample_negatives: int | None,
        gather: Gather,
        process_group: dist.ProcessGroup | None,
        reduction: Literal["mean", "none"],
    ) -> None:
        super().__init__()
        sample_negatives = check_negatives_options(in_batch=in_batch, sample_negatives=sample_negatives, gather=gather)
        self.processes = Processes(process_group, gathers=bool(gather))
        local_dim, global_dim = check_positive("local_dim", local_dim), check_positive("global_dim", global_dim)
        self.critic, self.estimator = build_parts(
            critic, estimator, local_dim, global_dim, units, processes=self.processes if gather else None
        )
        check_choice("reduction", reduction, ("mean", "none"))
        if reduction == "none":
            check_per_global(self.estimator)
        if gather and reduction == "none":
            raise ValueError("reduction must be 'mean' with gather=True: every process returns the loss of all")
        self.in_batch = in_batch
        self.sample_negatives = sample_negatives
        self.gather = gather
        self.reduction = reduction

    @abstractmethod
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
        """Check the features and form the rows that the critic scores; ``at_least`` is the smallest batch size."""

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
    ) -> Tensor:
        """Return the loss.

        Args:
            local: local features.
            global_: global features.
            mask: bool, True at a real location.
            batch: the example of each row of ragged local features, (K,), in any order.
            negatives: more marginal rows for every global, (L, c) or (L, c, \\*spatial).
            group: an integer per example, (N,); examples of the same group are not negatives of each other. Of length
                (N + L,) where the given negatives have groups too.
            generator: the generator that draws locations and negatives; torch's global one when None.
        """
        given: dict[str, Any] = {"mask": mask, "batch": batch, "negatives": negatives, "group": group}
        given["generator"] = generator
        rows, directions = self._score(local, global_, self.gather, training=True, **given)
        if self.reduction == "none":
            return _mean([_spread(self.estimator.per_global(scores), rows, global_) for scores in directions])
        return _mean([self.estimator(scores) for scores in directions])

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
    ) -> PairScores:
        """Return the critic's scores, from which ``estimator`` computes both the loss and the information.

        Example:
            >>> import torch
            >>> from infomax import LocalDIMLoss
            >>> loss_fn = LocalDIMLoss(local_dim=16, global_dim=8, units=32)
            >>> scores = loss_fn.scores(torch.randn(4, 16, 2, 2), torch.randn(4, 8))
            >>> loss, nats = loss_fn.estimator(scores), loss_fn.estimator.mutual_information(scores)
        """
        given: dict[str, Any] = {"mask": mask, "batch": batch, "negatives": negatives, "group": group}
        given["generator"] = generator
        _, (scores,) = self._score(local, global_, self.gather, once=True, **given)
        return scores

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
    ) -> Tensor:
        """Return the estimate in nats, a scalar without gradient. No state changes, random state included.

        For an estimate with a gradient, call ``estimator.estimate`` with :meth:`scores`.

        Args:
            local: local features.
            global_: global features.
            mask: bool, True at a real location.
            batch: the example of each row of ragged local features, (K,), in any order.
            negatives: more marginal rows for every global, (L, c) or (L, c, \\*spatial).
            group: an integer per example, (N,); examples of the same group are not negatives of each other. Of length
                (N + L,) where the given negatives have groups too.
            generator: the generator that draws locations and negatives; a copy of torch's global one when None.
            gather: whether to measure on the batch of all processes, each of which must make this call; on the batch of
                this process alone when False.
        """
        check_negatives_options(in_batch=self.in_batch, sample_negatives=self.sample_negatives, gather=gather)
        with measuring(self, global_, gather=bool(gather)):
            _, directions = self._score(
                local, global_, gather, mask=mask, batch=batch, negatives=negatives, group=group, generator=generator
            )
            return _mean([self.estimator.mutual_information(scores) for scores in directions])

    def directions(self, rows: Rows) -> list[PairScores]:
        """Score the rows once, or, in a loss with two directions, once with each side as the globals."""
        return [self.score(rows)]

    def score(self, rows: Rows) -> PairScores:
        """Score the rows once, each global with the locals."""
        scores = self.critic.score_rows(rows.local, rows.global_, rows.pairing)
        if not isinstance(scores, PairScores):
            raise TypeError(
                f"critic.score_rows must return infomax.scores.PairScores, got {type(scores).__name__} from "
                f"{type(self.critic).__name__}; a module that scores aligned rows becomes a critic by PairwiseCritic"
            )
        return scores

    def _score(
        self,
        local: Tensor,
        global_: Tensor,
        gather: Gather,
        *,
        training: bool = False,
        once: bool = False,
        **given: Any,
    ) -> tuple[Rows, list[PairScores]]:
        """Form the rows and score them; ``training`` if the scores are for the loss, ``once`` for one direction."""
        given = {**given, "training": training, "once": once}  # torch 2.6 cannot trace |=
        if not (gather and self.processes.several):
            return self._score_alone(local, global_, **given)
        return self._score_together(local, global_, ring=gather == "ring", **given)

    @uncompiled
    def _score_together(
        self, local: Tensor, global_: Tensor, *, ring: bool, training: bool, once: bool, **given: Any
    ) -> tuple[Rows, list[PairScores]]:
        processes, device = self.processes, device_of(self, global_)
        with processes.call():
            rows, error, learns, settings, dtypes = None, None, False, {}, (torch.float32, torch.float32)
            try:
                _check_not_transformed(local, global_)
                # This process may have no example as long as the processes together have enough.
                rows = self._paired(local, global_, training=training, **given, at_least=0)
                learns = _may_learn(self.critic, rows)
                call = "scores" if once else "forward" if training else "mutual_information"
                settings = settings_of(self, f"{call}, gather={'ring' if ring else True!r}", device)
                dtypes = rows.local.dtype, rows.global_.dtype
            except Exception as raised:  # noqa: BLE001 (`exchange_shares` raises it, after it has informed the others)
                error = raised
            pairing = None if rows is None else rows.pairing
            shares = exchange_shares(pairing, error, processes, device, settings=settings, dtypes=dtypes, learns=learns)
            rows = cast("Rows", rows)
            rows = rows._replace(local=rows.local.to(shares.dtypes[0]), global_=rows.global_.to(shares.dtypes[1]))
            try:
                directions = self._scored(rows, once=once)
                check_gatherable(directions)
            except Exception as raised:  # noqa: BLE001 (raised when the other processes know)
                error, directions = raised, self._stand_in(rows, raised, once=once)
            check_rows_of_all(processes)
            # The first reduction raises the error of another process. After `scores`, it may come much later or never,
            # and a critic of a user's may have no stand-in, because it refuses an empty batch as well.
            if once or not type(self.critic).__module__.startswith("infomax."):
                processes.raise_together(error, "the scores", device)
            gathered = [gather_scores(scores, shares, processes, ring=ring, error=error) for scores in directions]
            return rows, gathered

    def _stand_in(self, rows: Rows, error: Exception, *, once: bool) -> list[PairScores]:
        """Score zeros in place of rows after an error of the critic, so that the exchanges go on.

        Args:
            rows: the rows that the critic should have scored.
            error: the error of the critic, raised now if all processes raise one for too few rows.
            once: whether one direction is needed.

        Returns:
            The scores, none if the critic cannot score an empty batch.
        """
        local, global_ = rows.local, rows.global_
        none = Rows(
            local.new_zeros(0, local.shape[1]),
            global_.new_zeros(0, global_.shape[1]),
            Pairing(0, 1, torch.zeros(0, dtype=torch.int64, device=local.device)),
        )
        empty: list[PairScores] | None = self.processes.join_after_error(lambda: self._scored(none, once=once))
        if self.processes.single_row:
            raise error
        sizes = rows.pairing.examples * rows.pairing.globals_, len(rows.pairing.key_group)
        return [_zeros_in(scores, *sizes, rows.pairing) for scores in empty or ()]

    def _score_alone(
        self, local: Tensor, global_: Tensor, *, once: bool, **given: Any
    ) -> tuple[Rows, list[PairScores]]:
        rows = self._paired(local, global_, **given)
        return rows, self._scored(rows, once=once)

    def _paired(self, local: Tensor, global_: Tensor, *, training: bool, **given: Any) -> Rows:
        rows = self.pair(local, global_, **given)
        if training:
            check_may_learn(self.estimator, self.global_name, global_)
        return rows

    def _scored(self, rows: Rows, *, once: bool) -> list[PairScores]:
        return [self.score(rows)] if once else self.directions(rows)

    def extra_repr(self) -> str:
        return (
            f"in_batch={self.in_batch}, sample_negatives={self.sample_negatives}, gather={self.gather!r}, "
            f"reduction={self.reduction!r}"
        )


def _check_not_transformed(*features: object) -> None:
    if transformed(*(part for part in features if isinstance(part, Tensor))):
        raise NotImplementedError(
            "gather=True has no torch.func transforms (grad, jvp, vmap, ...), because they do not follow the exchange "
            "between processes; call .backward() or torch.autograd.grad, or use gather=False"
        )


def _may_learn(critic: nn.Module, rows: Rows) -> bool:
    """Return whether scores of these rows may require a gradient, before they are computed."""
    tensors = (rows.local, rows.global_, *critic.parameters())
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _zeros_in(scores: PairScores, queries: int, keys: int, pairing: Pairing) -> PairScores:
    if not isinstance(scores, StreamedScores | DenseScores):
        return scores  # of a kind that cannot be gathered: all processes raise an error
    query, key = scores.query.new_zeros(queries, scores.query.shape[1]), scores.key.new_zeros(keys, scores.key.shape[1])
    return scores.with_rows(query, key, pairing)


def _spread(values: Tensor, rows: Rows, global_: Tensor) -> Tensor:
    """Reshape values of the global rows, (M,), to the globals' shape without channels; 0 for examples left out."""
    shape = (global_.shape[0], *global_.shape[2:])
    if rows.kept is None:
        return values.view(shape)
    per_example = values.view(len(rows.kept), -1)
    everywhere = values.new_zeros(global_.shape[0], per_example.shape[1])
    return everywhere.index_copy(0, rows.kept, per_example).view(shape)


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)
