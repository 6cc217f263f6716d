"""The elementwise part of each reduction, in place on a block of scores.

A block is key-major, ``(B, M)``: one row per key, one column per query. At first it contains scores, divided by the
``unit`` of the reduction, with the value ``excluded`` for excluded pairs. The reduction replaces the scores by
*slopes*, which are the derivatives of the reduction by each score, up to one factor per query.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks

__all__ = [
    "BlockReduction",
    "LogSumExp",
    "Pearson",
    "PlainSum",
    "SoftplusSum",
    "SquareSum",
    "finite",
    "in_range",
    "reduction_of",
]

# Above this, softplus(x) = x to the last bit of a float64. Below it, exp(x) is finite in float32.
_LINEAR_ABOVE = 40.0
# In sums of bare powers of two between these bounds, all terms that have underflowed are below the last bit.
_LEAST, _MOST = 2.0**-40, 2.0**100


class BlockReduction(ABC):
    """The reduction of the scores of a set of queries, one block of keys at a time.

    Args:
        like: a vector with one entry per query.
    """

    unit = 1.0
    excluded = -math.inf
    """The score that replaces that of an excluded pair; its term is zero. If it is infinite, its slope is zero as well;
    if it is finite, the caller sets the slope to zero."""
    reference: Tensor | None = None
    """The reference of the last absorbed block, ``(M,)``, which `slope_factor` takes; None stands for zeros."""

    def __init__(self, like: Tensor) -> None:
        """Start from nothing absorbed."""
        self._total = torch.zeros_like(like)

    @abstractmethod
    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add a block to the reduction; with ``slopes``, replace its scores by slopes.

        Return False if the block was not added; the caller must then compute its scores again and repeat the call.
        """

    def value(self) -> Tensor:
        """Return the reduction ``(M,)`` of all absorbed blocks; a sum is zero if every pair was excluded."""
        return self._total

    @staticmethod
    @abstractmethod
    def slopes(block: Tensor, value: Tensor, grad: Tensor, /) -> None:
        """Replace a block of scores by its final slopes, times ``grad``, a factor per query."""

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """Return the factor ``(M,)`` that turns the slopes of `absorb` into final slopes; 1 if they are final."""
        return torch.ones_like(value)


class LogSumExp(BlockReduction):
    """Log-sum-exp in base two: ``exp2`` takes half the time of ``exp``, and the unit is folded into the queries.

    Scores are seldom so large that their powers overflow, and finding and subtracting the largest score of each query
    takes two passes over a block. So the sums start with *bare* powers, from which no peak is subtracted. From the
    first block whose sums are out of range, sums are relative to a running peak. On an accelerator, the check of the
    range would synchronise with the device, so sums are always relative to a peak.
    """

    unit = math.log(2.0)

    def __init__(self, like: Tensor) -> None:
        """Start from nothing absorbed."""
        super().__init__(like)
        self._bare = like.device.type == "cpu"
        # The lowest finite number: with only excluded pairs, a peak of -inf would give -inf - -inf, which is NaN.
        self._peak = torch.full_like(like, torch.finfo(like.dtype).min)

    def absorb(self, block: Tensor, _blocks: Blocks, _slopes: bool, /) -> bool:
        """Replace scores by powers of two, either bare or relative to the running peak, the reference."""
        if self._bare:
            total = block.exp2_().sum(0)
            self._bare = in_range(total)
            if self._bare:
                self._total += total
                self._peak.zero_()
            return self._bare
        peak = torch.maximum(self._peak, block.amax(0))
        block.sub_(peak).exp2_()
        self._total.mul_(self._peak.sub_(peak).exp2_()).add_(block.sum(0))
        self._peak = self.reference = peak
        return True

    def value(self) -> Tensor:
        """Return the log-sum-exp in nats: ``-inf`` if every pair was excluded, and ``inf`` if a score is ``inf``."""
        value = self._total.log2_().add_(self._peak).mul_(self.unit)
        return value.masked_fill_(self._peak == torch.inf, torch.inf)

    @staticmethod
    def slopes(block: Tensor, value: Tensor, grad: Tensor, /) -> None:
        """Compute softmax weights from the log-sum-exp."""
        value = finite(value / LogSumExp.unit)
        if block.device.type == "cpu" and in_range(value.exp2()):
            block.exp2_().mul_(value.neg_().exp2_().mul_(grad))
        else:
            block.sub_(value).exp2_().mul_(grad)

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """Return the factor that turns powers relative to a reference into softmax weights."""
        return references.sub(finite(value / LogSumExp.unit)).exp2_()


class SoftplusSum(BlockReduction):
    """Sum of ``log(1 + exp(score))``."""

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add the block; with ``slopes``, replace its scores by their sigmoids."""
        spare = blocks.scores("spare", *block.shape)
        torch.ops.aten.softplus.out(block, 1.0, _LINEAR_ABOVE, out=spare)
        self._total.add_(spare.sum(0))
        if slopes:
            block.sigmoid_()
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Compute sigmoids."""
        block.sigmoid_().mul_(grad)


class PlainSum(BlockReduction):
    """Sum of the scores."""

    excluded = 0.0

    def absorb(self, block: Tensor, _blocks: Blocks, slopes: bool, /) -> bool:
        """Add the block; with ``slopes``, replace its scores by ones."""
        self._total.add_(block.sum(0))
        if slopes:
            block.fill_(1.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Fill the block with ones."""
        block.copy_(grad.expand_as(block))


class SquareSum(BlockReduction):
    """Sum of the squared scores."""

    excluded = 0.0

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add the squares; with ``slopes``, replace the scores by twice the scores."""
        self._total.add_(torch.square(block, out=blocks.scores("spare", *block.shape)).sum(0))
        if slopes:
            block.mul_(2.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Double the scores."""
        block.mul_(2.0 * grad)


class Pearson(BlockReduction):
    """Sum of ``score + score ** 2 / 4``, the conjugate function of Pearson's chi squared."""

    excluded = 0.0

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add the terms; with ``slopes``, replace the scores by ``1 + score / 2``."""
        spare = blocks.scores("spare", *block.shape)
        self._total.add_(torch.addcmul(block, block, block, value=0.25, out=spare).sum(0))
        if slopes:
            block.mul_(0.5).add_(1.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Compute ``1 + score / 2``."""
        block.mul_(0.5).add_(1.0).mul_(grad)


_REDUCTIONS: dict[str, type[BlockReduction]] = {
    "logsumexp": LogSumExp,
    "softplus": SoftplusSum,
    "sum": PlainSum,
    "square_sum": SquareSum,
    "pearson": Pearson,
}


def reduction_of(name: str) -> type[BlockReduction]:
    """Return the class of a reduction by its name."""
    return _REDUCTIONS[name]


def in_range(powers: Tensor) -> bool:
    """Say whether, in all bare sums, nothing overflowed and nothing significant underflowed."""
    if not powers.numel():
        return True
    least, most = torch.aminmax(powers)
    return least.item() > _LEAST and most.item() < _MOST


def finite(value: Tensor) -> Tensor:
    """Replace the ``-inf`` of a query without admissible keys by zero, so that its slopes are zero and not NaN."""
    return value.masked_fill(value == -torch.inf, 0.0)
