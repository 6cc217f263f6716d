"""The derivative of the loss by each score, one block at a time."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks
from infomax.ops.chunked.clipping import Clipping
from infomax.ops.chunked.exclusion import Exclusion
from infomax.ops.chunked.forward import split_kept
from infomax.ops.chunked.joint import JointPairs
from infomax.ops.chunked.plan import Plan
from infomax.ops.chunked.products import scores_into
from infomax.ops.chunked.reductions import reduction_of
from infomax.ops.problem import Problem

__all__ = ["Weights"]


class Weights:
    """Blocks of weights, the gradients by the scores, from kept slopes or recomputed scores.

    A block is multiplied by the unit of its scores. So its product with `Blocks.queries` is the gradient of the keys,
    and its product with the keys, times `Blocks.factor`, is the gradient of the queries. Saved tensors are not changed.
    """

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        grad_value: Tensor | None,
        grad_joint: Tensor | None,
        value: Tensor,
        saved: Tensor,
    ) -> None:
        """Prepare; no scores are computed yet."""
        self.plan = plan
        self._reduction = reduction_of(problem.reduction)
        self._clipping = Clipping(problem, self._reduction.unit)
        unit = self._clipping.unit
        self.blocks = Blocks(problem, plan, unit)
        self._grad_value = None if grad_value is None else grad_value * unit
        self._grad_joint = None if grad_joint is None else grad_joint * unit
        self._value = value
        self._kept = split_kept(saved, value.shape[0], problem.keys) if saved.numel() else None
        self._exclusion = None if self._kept is not None else Exclusion(problem, plan.keys)
        self._pairs = None if grad_joint is None else JointPairs(problem, plan.keys)

    def block(self, index: int, rows: slice, keys: Tensor, queries: Tensor) -> Tensor:
        """Return the weights ``(B, M)`` of a block.

        Args:
            index: Index of the block of keys.
            rows: Slice of the queries.
            keys: The keys of the block, ``(B, d)`` or a map ``(n, d, P)``.
            queries: The queries of the slice, ``(M, d)``, from `Blocks.queries`.
        """
        part = self.plan.keys[index]
        block = self.blocks.scores("weights", part.stop - part.start, queries.shape[0])
        if self._grad_value is None:
            block.zero_()
        elif self._kept is None:
            self._recompute(block, index, rows, keys, queries, self._grad_value[rows])
        else:
            slopes, references = self._kept
            factor = self._reduction.slope_factor(self._value, references[index])
            torch.mul(slopes[part], factor.mul_(self._grad_value), out=block)
        if self._pairs is not None and self._grad_joint is not None:
            self._pairs.add(self._grad_joint, block, index, part, rows)
        return block

    def _recompute(self, block: Tensor, index: int, rows: slice, keys: Tensor, queries: Tensor, grad: Tensor) -> None:
        scores_into(block, keys, queries)
        self._clipping.apply(block, self.blocks, True)
        if self._exclusion is not None:
            self._exclusion.fill(block, index, self.plan.keys[index], rows, self._reduction.excluded)
        self._reduction.slopes(block, self._value[rows], grad)
        self._clipping.to_slopes(block)
        if self._exclusion is not None and (isfinite(self._reduction.excluded) or not self._clipping.keeps_zeros):
            self._exclusion.fill(block, index, self.plan.keys[index], rows, 0.0)
