"""Scores that are inner products: reduced without a table of pairs."""

from __future__ import annotations

from torch import Tensor

from infomax import ops
from infomax.layout import Pairing
from infomax.ops.problem import accumulation_dtype
from infomax.scores.base import PairScores, Reduced, Reduction

__all__ = ["StreamedScores"]


class StreamedScores(PairScores):
    """Scores ``scale * <query, key>``, reduced by the fused pairwise ops of :mod:`infomax.ops`.

    Args:
        query: global rows, (M, d).
        key: local rows, (K, d).
        pairing: which rows belong together.
        scale: factor of every score.
    """

    def __init__(self, query: Tensor, key: Tensor, pairing: Pairing, scale: float = 1.0) -> None:
        super().__init__(pairing)
        self.query = query
        self.key = key
        self.scale = scale

    def scaled(self, factor: float) -> StreamedScores:
        return StreamedScores(self.query, self.key, self.pairing, self.scale * factor)

    def with_keys(self, key: Tensor, pairing: Pairing) -> StreamedScores:
        """Return the scores of the same queries with other keys."""
        return StreamedScores(self.query, key, pairing, self.scale)

    def _reduce(self, reduction: Reduction, clip: float | None) -> Reduced:
        pairing = self.pairing
        if pairing.marginal_rows is None:
            marginal, joint = ops.pairwise_with_joint(
                reduction,
                self.query,
                self.key,
                pairing.query_group,
                pairing.key_group,
                pairing.joint_query,
                pairing.joint_key,
                scale=self.scale,
                clip=clip,
            )
            return Reduced(joint, marginal)
        # Other rows serve as marginals than those that form joint pairs: two tables, each read once.
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
        )
        return Reduced(self._joint(), marginal)

    def _joint(self) -> Tensor:
        pairing = self.pairing
        query = self.query.view(pairing.examples, pairing.globals_, -1)
        if pairing.locations is None:
            query, key = query[pairing.joint_group], self.key[:, None]
        else:
            query, key = query[:, None], self.key.view(pairing.examples, pairing.locations, 1, -1)
        return self.scale * _dot(query, key).flatten()


def _dot(query: Tensor, key: Tensor) -> Tensor:
    acc = accumulation_dtype(key.dtype)
    return (query.to(acc) * key.to(acc)).sum(-1)
