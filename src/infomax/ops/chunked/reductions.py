"""The elementwise half of each reduction, in place on a block of scores.

A block is key-major, ``(B, M)``: a row a key, a column a query. It arrives holding scores divided by the
reduction's ``unit``, excluded ones replaced by its ``excluded``, and leaves holding *slopes*, the derivative of the
reduction by each score up to one factor a query.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks

__all__ = [
    "LogSumExp",
    "Pearson",
    "PlainSum",
    "Reduction",
    "SoftplusSum",
    "SquareSum",
    "finite",
    "in_range",
    "reduction_of",
]

# Above this softplus(x) = x to the last bit of a float64, and exp stays finite in a float32 below it.
_LINEAR_ABOVE = 40.0
# Sums of bare powers of two between these lose nothing: what has underflowed beside them is below their last bit.
_LEAST, _MOST = 2.0**-40, 2.0**100


class Reduction(ABC):
    """Reduces the scores of a set of queries, a block of keys at a time.

    Args:
        like: a vector with an entry for each query.
    """

    unit = 1.0
    excluded = -math.inf
    """A score whose term is zero. Its slope must be zero too, unless it is finite: those are cleared by the caller."""
    reference: Tensor | None = None
    """What the block absorbed last needs `slope_factor` to know, ``(M,)``; None stands for zeros."""

    def __init__(self, like: Tensor) -> None:
        """Start from nothing absorbed."""
        self._total = torch.zeros_like(like)

    @abstractmethod
    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Reduce a block; with ``slopes``, leave them in it. False asks for the same block of scores once more."""

    def value(self) -> Tensor:
        """Return the reduction ``(M,)`` of all blocks absorbed; a sum is zero where every pair was excluded."""
        return self._total

    @staticmethod
    @abstractmethod
    def slopes(block: Tensor, value: Tensor, grad: Tensor, /) -> None:
        """Turn a block of scores into its final slopes, times a factor a query."""

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """Return the factor ``(M,)`` that turns slopes left by `absorb` into final ones: here they are final."""
        return torch.ones_like(value)


class LogSumExp(Reduction):
    """Log-sum-exp in base two: ``exp2`` costs about half of ``exp``, and the unit is folded into the queries.

    Scores are seldom so large that their powers overflow, and to find and subtract the largest of each query takes two
    passes over a block. So bare powers come first, and their sums say whether they will do; from the first block for
    which they do not, sums are relative to a running peak. An accelerator would have to be waited for: there, always.
    """

    unit = math.log(2.0)

    def __init__(self, like: Tensor) -> None:
        """Start from nothing absorbed."""
        super().__init__(like)
        self._bare = like.device.type == "cpu"
        # The lowest finite number, so that a peak over excluded pairs alone is never subtracted as -inf - -inf.
        self._peak = torch.full_like(like, torch.finfo(like.dtype).min)

    def absorb(self, block: Tensor, _blocks: Blocks, _slopes: bool, /) -> bool:
        """Replace scores by powers of two, bare or relative to the running peak, which is then the reference."""
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
        """Return the log-sum-exp in nats; ``-inf`` where every pair was excluded, ``inf`` where a score is."""
        value = self._total.log2_().add_(self._peak).mul_(self.unit)
        return value.masked_fill_(self._peak == torch.inf, torch.inf)

    @staticmethod
    def slopes(block: Tensor, value: Tensor, grad: Tensor, /) -> None:
        """Softmax weights, from the log-sum-exp."""
        value = finite(value / LogSumExp.unit)
        if block.device.type == "cpu" and in_range(value.exp2()):
            block.exp2_().mul_(value.neg_().exp2_().mul_(grad))
        else:
            block.sub_(value).exp2_().mul_(grad)

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """From powers relative to a reference to softmax weights."""
        return references.sub(finite(value / LogSumExp.unit)).exp2_()


class SoftplusSum(Reduction):
    """Sum of ``log(1 + exp(score))``."""

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add up the block, then leave the sigmoid of its scores in it if asked."""
        spare = blocks.scores("spare", *block.shape)
        torch.ops.aten.softplus.out(block, 1.0, _LINEAR_ABOVE, out=spare)
        self._total.add_(spare.sum(0))
        if slopes:
            block.sigmoid_()
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Sigmoids."""
        block.sigmoid_().mul_(grad)


class PlainSum(Reduction):
    """Sum of the scores."""

    excluded = 0.0

    def absorb(self, block: Tensor, _blocks: Blocks, slopes: bool, /) -> bool:
        """Add up the block, then leave ones in it if asked."""
        self._total.add_(block.sum(0))
        if slopes:
            block.fill_(1.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Ones."""
        block.copy_(grad.expand_as(block))


class SquareSum(Reduction):
    """Sum of the squared scores."""

    excluded = 0.0

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add up the squares, then leave twice the scores in the block if asked."""
        self._total.add_(torch.square(block, out=blocks.scores("spare", *block.shape)).sum(0))
        if slopes:
            block.mul_(2.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """Twice the scores."""
        block.mul_(2.0 * grad)


class Pearson(Reduction):
    """Sum of ``score + score ** 2 / 4``, the conjugate function of Pearson's chi squared."""

    excluded = 0.0

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> bool:
        """Add up the terms, then leave ``1 + score / 2`` in the block if asked."""
        spare = blocks.scores("spare", *block.shape)
        self._total.add_(torch.addcmul(block, block, block, value=0.25, out=spare).sum(0))
        if slopes:
            block.mul_(0.5).add_(1.0)
        return True

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, grad: Tensor, /) -> None:
        """``1 + score / 2``."""
        block.mul_(0.5).add_(1.0).mul_(grad)


_REDUCTIONS: dict[str, type[Reduction]] = {
    "logsumexp": LogSumExp,
    "softplus": SoftplusSum,
    "sum": PlainSum,
    "square_sum": SquareSum,
    "pearson": Pearson,
}


def reduction_of(name: str) -> type[Reduction]:
    """Look a reduction up by name."""
    return _REDUCTIONS[name]


def in_range(powers: Tensor) -> bool:
    """Say whether bare sums are all such that nothing overflowed and nothing that counts underflowed."""
    if not powers.numel():
        return True
    least, most = torch.aminmax(powers)
    return least.item() > _LEAST and most.item() < _MOST


def finite(value: Tensor) -> Tensor:
    """Lift the ``-inf`` of a query without admissible keys to zero, so that its slopes come out zero."""
    return value.masked_fill(value == -torch.inf, 0.0)
