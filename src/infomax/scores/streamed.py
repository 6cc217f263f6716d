"""Scores that are inner products, reduced without a table of pairs."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as nnf

from infomax import ops
from infomax._precision import accumulation_dtype, cast_for_product, widened, without_autocast
from infomax.ops.pairs import BLOCK
from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import rows_of
from infomax.scores.base import PairScores, Reduced, Reduction

__all__ = ["StreamedScores"]

# The sum of scores needs no pairs, but passes over the keys once more. With up to about this many queries, the pairwise
# op is faster.
_FEW_QUERIES = 128


class StreamedScores(PairScores):
    """Scores ``scale * <query, key>``, reduced by the fused pairwise ops of :mod:`infomax.ops`.

    Under autocast, the rows are cast once, when this object is created, like the inputs of any matrix product. Joint
    and marginal scores are then computed from the same rows, inside or outside of autocast.

    Args:
        query: global rows, (M, d).
        key: local rows, (K, d); or a map (N, d, P), whose locations are the rows. The ops read a map without a copy
            where they can.
        pairing: which rows form joint and marginal pairs.
        scale: factor of every score.
        autocast: whether autocast casts the rows. Use False for scores that are small differences of large numbers.
        reverse_of: the scores of the same pairs in the other direction; one table of scores serves both.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_rows
        >>> from infomax.scores import StreamedScores
        >>> rows = pair_rows(torch.randn(4, 8, 3), torch.randn(4, 8))
        >>> StreamedScores(rows.global_, rows.local, rows.pairing).joint().shape
        torch.Size([12])
    """

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        pairing: Pairing,
        scale: float = 1.0,
        *,
        autocast: bool = True,
        reverse_of: StreamedScores | None = None,
    ) -> None:
        super().__init__(pairing)
        self.query = cast_for_product(query) if autocast else query
        self._key = cast_for_product(key) if autocast else key
        self.scale = scale
        self._both = False  # whether the reverse direction is needed as well
        self._reverse_of = reverse_of

    @property
    def key(self) -> Tensor:
        """Local rows, (K, d)."""
        return self._key if self._key.ndim == 2 else self._once("rows", self._rows)

    def _rows(self) -> Tensor:
        return rearrange(rows_of(self._key), "n p d -> (n p) d")

    def scaled(self, factor: float) -> StreamedScores:
        return StreamedScores(self.query, self._key, self.pairing, self.scale * factor, autocast=False)

    def shifted(self, constant: float) -> StreamedScores:
        # Append one feature, in a dtype that can hold the constant: the constant to the queries, and 1 to the keys.
        query, scale = (widened(self.query), self.scale) if self.scale else (0 * widened(self.query), 1.0)
        query, key = nnf.pad(query, (0, 1), value=constant / scale), nnf.pad(widened(self.key), (0, 1), value=1.0)
        return StreamedScores(query, key, self.pairing, scale, autocast=False)

    def transposed(self, pairing: Pairing) -> StreamedScores:
        """Return the scores with queries and keys exchanged."""
        return StreamedScores(self.key, self.query, pairing, self.scale, autocast=False)

    def sharing_reverse(self) -> StreamedScores:
        """Return the same pairs with queries and keys exchanged; one table of scores then serves both directions.

        This requires one local and one global row per example and no other rows, so that the pairing is symmetric.
        """
        self._both = True
        return StreamedScores(self.key, self.query, self.pairing, self.scale, autocast=False, reverse_of=self)

    def inputs(self) -> list[Tensor]:
        """Return all tensors from which the scores are computed."""
        return [self.query, self._key]

    def with_rows(self, query: Tensor, key: Tensor, pairing: Pairing) -> StreamedScores:
        """Return the scores of other rows with the same scale."""
        return StreamedScores(query, key, pairing, self.scale, autocast=False)

    def reduce_clipped(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        with without_autocast(self.query.device):
            return self._reduce_pairs(reduction, clip, soft_clip)

    def _reduce_pairs(self, reduction: Reduction, clip: float | None, soft_clip: float | None) -> Reduced:
        pairing = self.pairing
        bounded = clip is not None or soft_clip is not None
        if reduction == "sum" and not bounded and self.query.shape[0] > _FEW_QUERIES:
            return Reduced(self.joint(), self._sum())
        forward = self if self._both else self._reverse_of
        if reduction == "logsumexp" and pairing.marginal_rows is None and forward is not None:
            of_queries, of_keys, joint = forward.both_ways(clip, soft_clip)
            return Reduced(joint, of_queries if self._both else of_keys)
        if pairing.marginal_rows is None:
            marginal, joint = ops.pairwise_with_joint(
                reduction,
                self.query,
                self._key,
                *self._indices(),
                scale=self.scale,
                clip=clip,
                soft_clip=soft_clip,
            )
            return Reduced(joint, marginal)
        # Marginal pairs and joint pairs use different local rows, so they are computed separately.
        nothing = pairing.key_group[:0]
        marginal, _ = ops.pairwise_with_joint(
            reduction,
            self.query,
            self.key[pairing.marginal_rows],
            pairing.query_group,
            pairing.marginal_group(),
            nothing,
            nothing,
            scale=self.scale,
            clip=clip,
            soft_clip=soft_clip,
        )
        return Reduced(self.joint(), marginal)

    def both_ways(self, clip: float | None, soft_clip: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log-sum-exps of both directions and the joint scores, computed once."""
        return self._once(
            ("both ways", clip, soft_clip),
            lambda: ops.pairwise_both_ways(
                self.query,
                self.key,
                *self._indices(),
                scale=self.scale,
                clip=clip,
                soft_clip=soft_clip,
            ),
        )

    def _indices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pairing = self.pairing
        return pairing.query_group, pairing.key_group, pairing.joint_query, pairing.joint_key

    def joint(self) -> Tensor:
        return self._once("joint", self._joint)

    def _joint(self) -> Tensor:
        """Compute the joint scores alone: one product per example or, for ragged rows, one inner product per pair."""
        pairing = self.pairing
        acc = accumulation_dtype(self.key.dtype)
        if pairing.locations is None and not self._fits_block():
            indices = pairing.joint_query, pairing.joint_key
            with without_autocast(self.query.device):
                _, joint = ops.pairwise_with_joint("none", self.query, self.key, None, None, *indices, scale=self.scale)
            return joint
        query = self.query.to(acc).view(pairing.examples, pairing.globals_, self.query.shape[1])
        key = self.key[pairing.first : pairing.first + pairing.joint_keys].to(acc)
        if pairing.locations is None:
            return self.scale * (query[pairing.key_example] * key[:, None]).sum(-1).flatten()
        key = key.view(pairing.examples, pairing.locations, key.shape[1])
        with without_autocast(key.device):  # which would round the scores
            return self.scale * torch.matmul(key, query.transpose(1, 2)).flatten()

    def _fits_block(self) -> bool:
        """Say whether the gathered rows of all joint pairs fit in one block; False in a trace, which may not know."""
        if torch.compiler.is_compiling():
            return False
        return self.pairing.joint_keys * self.pairing.globals_ * self.query.shape[1] <= BLOCK

    def _sum(self) -> Tensor:
        """Compute the sums of the marginal scores as ``<q, sum of keys>``, without forming pairs."""
        pairing = self.pairing
        acc = accumulation_dtype(self.key.dtype)
        key = self.key if pairing.marginal_rows is None else self.key[pairing.marginal_rows]
        if pairing.uniform and pairing.locations is not None:
            by_example = key.view(pairing.examples, pairing.locations, key.shape[1]).sum(1, dtype=acc)
        else:
            by_example = key.new_zeros(pairing.groups, key.shape[1], dtype=acc)
            by_example = by_example.index_add(0, pairing.marginal_group(), key.to(acc))
        return self.scale * (self.query.to(acc) * _sum_of_others(by_example)[pairing.query_group]).sum(-1)


def _sum_of_others(rows: Tensor) -> Tensor:
    """Return the sum of all other rows for each row, (G, d), from prefix and suffix sums, so that nothing cancels."""
    before, after = (nnf.pad(part.cumsum(0), (0, 0, 1, 0))[:-1] for part in (rows, rows.flip(0)))
    return before + after.flip(0)
