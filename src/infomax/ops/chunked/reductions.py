"""The elementwise half of each reduction, in place on a block of scores.

A block is key-major, ``(B, M)``: a row a key, a column a query. It arrives holding scores divided by the
reduction's ``unit`` and leaves holding *slopes*, the derivative of the reduction by each score up to one
factor a query. An excluded pair arrives as ``-inf`` and leaves as exactly zero.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks

__all__ = ["LogSumExp", "PlainSum", "Reduction", "SoftplusSum", "SquareSum", "reduction_of"]

# Above this softplus(x) = x to the last bit of a float64, and exp stays finite in a float32 below it.
_LINEAR_ABOVE = 40.0


class Reduction(Protocol):
    """Reduces the scores of a set of queries, a block of keys at a time."""

    unit: float

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> Tensor | None:
        """Reduce a block; with ``slopes``, leave them in it. Return their references ``(M,)``, if they have any."""

    def value(self) -> Tensor:
        """Return the reduction ``(M,)`` of all blocks absorbed."""

    @staticmethod
    def slopes(block: Tensor, value: Tensor, /) -> None:
        """Turn a block of scores into final slopes, given the reduction's value."""

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """Return the factor ``(M,)`` that turns slopes left by `absorb` into final ones."""


class LogSumExp:
    """Online log-sum-exp in base two: ``exp2`` costs about half of ``exp``, and the unit is folded into the queries."""

    unit = math.log(2.0)

    def __init__(self, like: Tensor) -> None:
        """Start from nothing absorbed, for as many queries as ``like`` has."""
        # The lowest finite number, so that a peak over excluded pairs alone is never subtracted as -inf - -inf.
        self._peak = torch.full_like(like, torch.finfo(like.dtype).min)
        self._total = torch.zeros_like(like)

    def absorb(self, block: Tensor, _blocks: Blocks, _slopes: bool, /) -> Tensor:
        """Replace scores by their exponentials relative to the running peak, and return the peak."""
        peak = torch.maximum(self._peak, block.amax(0))
        block.sub_(peak).exp2_()
        self._total.mul_(self._peak.sub_(peak).exp2_()).add_(block.sum(0))
        self._peak = peak
        return peak

    def value(self) -> Tensor:
        """Return the log-sum-exp in nats; ``-inf`` where every pair was excluded."""
        return self._total.log2_().add_(self._peak).mul_(self.unit)

    @staticmethod
    def slopes(block: Tensor, value: Tensor, /) -> None:
        """Softmax weights, from the log-sum-exp."""
        block.sub_(_finite(value / LogSumExp.unit)).exp2_()

    @staticmethod
    def slope_factor(value: Tensor, references: Tensor, /) -> Tensor:
        """From exponentials relative to a block's peak to softmax weights."""
        return references.sub(_finite(value / LogSumExp.unit)).exp2_()


class SoftplusSum:
    """Sum of ``log(1 + exp(score))``."""

    unit = 1.0

    def __init__(self, like: Tensor) -> None:
        """Start from a sum of zero."""
        self._total = torch.zeros_like(like)

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> None:
        """Add up the block, then leave the sigmoid of its scores in it if asked."""
        spare = blocks.scores("spare", *block.shape)
        torch.ops.aten.softplus.out(block, 1.0, _LINEAR_ABOVE, out=spare)
        self._total.add_(spare.sum(0))
        if slopes:
            block.sigmoid_()

    def value(self) -> Tensor:
        """Return the sum in nats; zero where every pair was excluded."""
        return self._total

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, /) -> None:
        """Sigmoids."""
        block.sigmoid_()

    @staticmethod
    def slope_factor(value: Tensor, _references: Tensor, /) -> Tensor:
        """One: the sigmoids are final."""
        return torch.ones_like(value)


class PlainSum(SoftplusSum):
    """Sum of the scores. An excluded one is found by its ``-inf``: no other score is."""

    def absorb(self, block: Tensor, _blocks: Blocks, slopes: bool, /) -> None:
        """Add up the block, then leave ones in it if asked."""
        excluded = block == -torch.inf
        self._total.add_(block.masked_fill_(excluded, 0.0).sum(0))
        if slopes:
            block.fill_(1.0).masked_fill_(excluded, 0.0)

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, /) -> None:
        """Ones."""
        excluded = block == -torch.inf
        block.fill_(1.0).masked_fill_(excluded, 0.0)


class SquareSum(SoftplusSum):
    """Sum of the squared scores."""

    def absorb(self, block: Tensor, blocks: Blocks, slopes: bool, /) -> None:
        """Add up the squares, then leave twice the scores in the block if asked."""
        block.masked_fill_(block == -torch.inf, 0.0)
        self._total.add_(torch.square(block, out=blocks.scores("spare", *block.shape)).sum(0))
        if slopes:
            block.mul_(2.0)

    @staticmethod
    def slopes(block: Tensor, _value: Tensor, /) -> None:
        """Twice the scores."""
        block.masked_fill_(block == -torch.inf, 0.0).mul_(2.0)


_REDUCTIONS: dict[str, type[LogSumExp | SoftplusSum]] = {
    "logsumexp": LogSumExp,
    "softplus": SoftplusSum,
    "sum": PlainSum,
    "square_sum": SquareSum,
}


def reduction_of(name: str) -> type[LogSumExp | SoftplusSum]:
    """Look a reduction up by name."""
    return _REDUCTIONS[name]


def _finite(value: Tensor) -> Tensor:
    """Lift the ``-inf`` of a query without admissible keys to zero, so that its slopes come out zero."""
    return value.masked_fill(value == -torch.inf, 0.0)
