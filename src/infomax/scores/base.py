"""The interface between critics and estimators."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from infomax._checks import check_choice
from infomax.ops.problem import REDUCTIONS, Reduction
from infomax.pairs.pairing import Pairing

__all__ = ["PairScores", "Reduced", "Reduction", "check_scores", "takes_scores"]


_Value = TypeVar("_Value")
_Function = TypeVar("_Function", bound=Callable[..., Tensor])


class Reduced(NamedTuple):
    """The joint scores and the reduction over marginal pairs, from which an estimator is computed.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> F.dense_scores(torch.eye(3)).reduce("sum")
        Reduced(joint=tensor([1., 1., 1.]), marginal=tensor([0., 0., 0.]))
    """

    joint: Tensor
    """(J,): the scores of the joint pairs. Only `ClippedScores` clips them; the clip bounds of a reduction do not."""
    marginal: Tensor
    """(M,): the reduction over each global's marginal pairs."""


class PairScores(ABC):
    r"""Scores of the joint pairs, and reductions over each global's marginal pairs.

    Critics return this object, and estimators take it. Joint scores are a vector of length J, ordered by local row;
    reductions are vectors of length M = N * Q, ordered by global row. Both are float32, or float64 for float64
    features.

    Args:
        pairing: which global and local rows form joint and marginal pairs.

    Example:
        >>> import torch
        >>> from infomax import functional as F
        >>> scores = F.dot_scores(torch.randn(4, 8, 3, 3), torch.randn(4, 8))
        >>> joint, log_sum = scores.reduce("logsumexp")
        >>> joint.shape, log_sum.shape, scores.count()
        (torch.Size([36]), torch.Size([4]), tensor([27., 27., 27., 27.]))
    """

    def __init__(self, pairing: Pairing) -> None:
        self.pairing = pairing
        self._known: dict[tuple[Hashable, bool], Any] = {}

    def __repr__(self) -> str:
        pairing = self.pairing
        rows = f"globals={len(pairing.query_group)}, local_rows={len(pairing.key_group)}"
        return f"{type(self).__name__}({rows}, joint_pairs={pairing.joint_keys * pairing.globals_})"

    def reduce(self, reduction: Reduction) -> Reduced:
        """Return the joint scores, and ``reduction`` over the marginal scores of each global.

        Args:
            reduction: ``"logsumexp"``, or the sum of a function of each score: ``"softplus"``, ``"sum"`` (the score),
                ``"square_sum"`` (its square), ``"pearson"`` (T + T^2 / 4).

        Returns:
            Vectors (J,) and (M,). A global without marginal pairs has -inf for the log-sum-exp and 0 for the sums.

        Raises:
            ValueError: the reduction is unknown, or a soft clip is applied to scores that are already clipped.
        """
        check_choice("reduction", reduction, REDUCTIONS)
        return self._once(reduction, lambda: self.reduce_clipped(reduction, None, None))

    def joint(self) -> Tensor:
        """Return the scores of the joint pairs alone, (J,)."""
        return self.reduce("sum").joint

    def _once(self, what: Hashable, compute: Callable[[], _Value]) -> _Value:
        # A loss and its estimate need the same values, so these are computed once. A value computed with a graph also
        # serves callers without gradients, but not the other way round.
        with_graph = torch.is_grad_enabled()
        for key in ((what, True), (what, with_graph)):
            if key in self._known:
                known: _Value = self._known[key]
                return known
        self._known[what, with_graph] = value = compute()
        return value

    @abstractmethod
    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        """Reduce the marginal scores after a soft and then a hard clip; do not clip the joint scores.

        :meth:`reduce` calls this method without bounds. :class:`~infomax.scores.ClippedScores` calls it with bounds, to
        pass them to the object that computes the scores.
        """

    @abstractmethod
    def scaled(self, factor: float) -> PairScores:
        """Return the same pairs with every score multiplied by ``factor``."""

    @abstractmethod
    def shifted(self, constant: float) -> PairScores:
        """Return the same pairs with ``constant`` added to every score."""

    def count(self) -> Tensor:
        """Return the number of marginal pairs of each global, (M,), float32."""
        return self.pairing.marginal_count()

    def per_joint(self, values: Tensor) -> Tensor:
        """Repeat the value of each global, (M,), for each of its joint pairs, (J,)."""
        return self.pairing.per_joint(values)

    def mean_per_global(self, values: Tensor) -> Tensor:
        """Average one value per joint pair, (J,), over the joint pairs of each global, (M,)."""
        return self.pairing.mean_per_global(values)


def check_scores(scores: object) -> None:
    """Raise unless ``scores`` are pair scores, and not a table of numbers."""
    if not isinstance(scores, PairScores):
        raise TypeError(
            "scores must be what a critic returns, critic(local, global_), or functional.dense_scores(table) for a "
            f"table (N, N) of your own, got {type(scores).__name__}"
        )


def takes_scores(function: _Function) -> _Function:
    """Make a function of scores check them first; see `check_scores`."""

    @functools.wraps(function)
    def checked(scores: PairScores, *args: Any, **kwargs: Any) -> Tensor:
        check_scores(scores)
        return function(scores, *args, **kwargs)

    return cast("_Function", checked)
