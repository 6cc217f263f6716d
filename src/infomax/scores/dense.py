"""Scores from any function of two rows, and scores from a given table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from infomax._checks import check_positive, shape_of
from infomax._precision import accumulation_dtype, widened
from infomax._transforms import transformed
from infomax.ops.settings import workspace
from infomax.pairs.pairing import Pairing
from infomax.scores.base import PairScores, Reduced, Reduction
from infomax.scores.reductions import logsumexp, reduce_table

__all__ = ["DenseScores", "RowScore", "TableScores"]

RowScore: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class DenseScores(PairScores):
    r"""Scores from any function of two rows, evaluated in tiles of pairs and evaluated again in the backward pass.

    So a tile fits in the workspace (:func:`infomax.ops.use_workspace`) for any number of pairs. ``score`` must treat
    every pair by itself (no batch norm over pairs); otherwise the scores would depend on the tiles.

    Args:
        score: ``score(query, key)`` takes (\*A, d) and (\*B, c), whose leading axes broadcast, and returns one score
            per pair in the broadcast shape.
        query: global rows, (M, d).
        key: local rows, (K, c).
        pairing: which rows form joint and marginal pairs.
        floats_per_pair: how many numbers ``score`` stores for one pair, which sets the tile size.
        scale: factor of every score.
        shift: constant added to every score after scaling.
        parameters: trained tensors that ``score`` uses; needed to score rows of other processes.

    Raises:
        TypeError: ``floats_per_pair`` is not an integer.
        ValueError: ``floats_per_pair`` is below 1. In a reduction: ``score`` returns another shape.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_rows
        >>> from infomax.scores import DenseScores
        >>> def minus_distance(query, key):
        ...     return -(query - key).square().sum(-1)
        >>> rows = pair_rows(torch.randn(4, 8, 3), torch.randn(4, 8))
        >>> scores = DenseScores(minus_distance, rows.global_, rows.local, rows.pairing, floats_per_pair=16)
        >>> scores.reduce("logsumexp").marginal.shape
        torch.Size([4])
    """

    def __init__(
        self,
        score: RowScore,
        query: Tensor,
        key: Tensor,
        pairing: Pairing,
        *,
        floats_per_pair: int,
        scale: float = 1.0,
        shift: float = 0.0,
        parameters: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(pairing)
        self.score = score
        self.query = query
        self.key = key
        self.scale = scale
        self.shift = shift
        self.floats_per_pair = check_positive("floats_per_pair", floats_per_pair)
        self.parameters = tuple(value for value in parameters if value.requires_grad)

    def _options(self) -> dict[str, Any]:
        return {
            "floats_per_pair": self.floats_per_pair,
            "scale": self.scale,
            "shift": self.shift,
            "parameters": self.parameters,
        }

    def scaled(self, factor: float) -> DenseScores:
        options = self._options() | {"scale": self.scale * factor, "shift": self.shift * factor}
        return DenseScores(self.score, self.query, self.key, self.pairing, **options)

    def shifted(self, constant: float) -> DenseScores:
        options = self._options() | {"shift": self.shift + constant}
        return DenseScores(self.score, self.query, self.key, self.pairing, **options)

    def transposed(self, pairing: Pairing) -> DenseScores:
        """Return the scores with queries and keys exchanged."""

        def score(query: Tensor, key: Tensor) -> Tensor:
            return self.score(key, query)

        return DenseScores(score, self.key, self.query, pairing, **self._options())

    def inputs(self) -> list[Tensor]:
        """Return all tensors from which the scores are computed, including parameters."""
        return [self.query, self.key, *self.parameters]

    def with_rows(self, query: Tensor, key: Tensor, pairing: Pairing) -> DenseScores:
        """Return the scores of other rows by the same function."""
        return DenseScores(self.score, query, key, pairing, **self._options())

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        return Reduced(self.joint(), self.marginal(reduction, clip, soft_clip))

    def joint(self) -> Tensor:
        return self._once("joint", self._joint_scores)

    def _evaluate(self, query: Tensor, key: Tensor) -> Tensor:
        scores = self.score(query, key)
        expected = tuple(b if a == 1 else a for a, b in zip(query.shape[:-1], key.shape[:-1], strict=True))
        if not isinstance(scores, Tensor) or scores.shape != expected:
            got = shape_of(scores) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"score must return one number per pair, a tensor of shape {shape_of(expected)} for rows of shapes "
                f"{shape_of(query)} and {shape_of(key)}, got {got}; reduce the last axis, by .squeeze(-1) or .sum(-1)"
            )
        return self.scale * widened(scores) + self.shift

    def _recomputed(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        if transformed(*tensors):  # they do not support a checkpoint
            return function(*tensors)
        return checkpoint(function, *tensors, use_reentrant=False, determinism_check="none")

    def _pairs_per_tile(self) -> int:
        size = accumulation_dtype(self.key.dtype).itemsize
        return max(1, workspace(self.key.device) // (size * self.floats_per_pair))

    def _joint_scores(self) -> Tensor:
        """Score tiles of local rows, each row with the globals of its example, which are gathered tile by tile."""
        pairing = self.pairing
        pairs, globals_ = self._pairs_per_tile(), pairing.globals_
        columns = min(pairs, globals_)
        rows = pairs // columns
        key = self.key[pairing.first : pairing.first + pairing.joint_keys]
        # Split once: the backward pass then writes each part's gradient once, instead of summing full-size gradients.
        queries = torch.split(self.query.view(pairing.examples, globals_, self.query.shape[1]), columns, 1)
        keys = list(zip(torch.split(key, rows), torch.split(pairing.key_example, rows), strict=True))

        def tile(query: Tensor, part: Tensor, example: Tensor) -> Tensor:
            return self._evaluate(query[example], part[:, None])

        scored = [[self._recomputed(tile, query, *part) for query in queries] for part in keys]
        return _joined([_joined(tiles, 1) for tiles in scored], 0).flatten()

    def marginal(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Tensor:
        """Return the reduction of :meth:`reduce_clipped` without the joint scores, (M,)."""
        pairing = self.pairing
        key = self.key if pairing.marginal_rows is None else self.key[pairing.marginal_rows]
        pairs = self._pairs_per_tile()
        rows = max(1, min(self.query.shape[0], math.isqrt(pairs)))
        columns = pairs // rows
        # Split once: the backward pass then writes each part's gradient once, instead of summing full-size gradients.
        keys = list(zip(torch.split(key, columns), torch.split(pairing.marginal_group(), columns), strict=True))

        def tile(query: Tensor, part: Tensor, query_group: Tensor, group: Tensor) -> Tensor:
            keep = query_group[:, None] != group[None, :]
            return reduce_table(self._evaluate(query[:, None], part[None]), keep, reduction, clip, soft_clip)

        reduced = []
        for query, query_group in zip(
            torch.split(self.query, rows), torch.split(pairing.query_group, rows), strict=True
        ):
            tiles = [self._recomputed(tile, query, part, query_group, group) for part, group in keys]
            stacked = torch.stack(tiles, 1)
            reduced.append(logsumexp(stacked) if reduction == "logsumexp" else stacked.sum(1))
        return torch.cat(reduced)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


class TableScores(PairScores):
    """Scores from an explicit table.

    Args:
        table: scores of global rows with local rows, (M, K).
        pairing: which rows form joint and marginal pairs.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_rows
        >>> from infomax.scores import TableScores
        >>> pairing = pair_rows(torch.randn(2, 8, 2), torch.randn(2, 8)).pairing  # two locations each
        >>> TableScores(torch.arange(8.0).view(2, 4), pairing).reduce("sum")
        Reduced(joint=tensor([0., 1., 6., 7.]), marginal=tensor([5., 9.]))
    """

    def __init__(self, table: Tensor, pairing: Pairing) -> None:
        super().__init__(pairing)
        self.table = widened(table)

    def scaled(self, factor: float) -> TableScores:
        return TableScores(self.table * factor, self.pairing)

    def shifted(self, constant: float) -> TableScores:
        return TableScores(self.table + constant, self.pairing)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        pairing, rows = self.pairing, self.pairing.marginal_rows
        table = self.table if rows is None else self.table[:, rows]
        keep = pairing.query_group[:, None] != pairing.marginal_group()[None, :]
        marginal = reduce_table(table, keep, reduction, clip, soft_clip)
        return Reduced(self.joint(), marginal)

    def joint(self) -> Tensor:
        return self.table[self.pairing.joint_query, self.pairing.joint_key]
