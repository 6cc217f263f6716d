"""Clipping of a block of scores, soft and then hard, and its part in their slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks
from infomax.ops.problem import Problem

__all__ = ["Clipping"]


class Clipping:
    """Clips a block of scores in place, and later multiplies its slopes by what the clipping passes on.

    Args:
        problem: What is computed.
        unit: What the reduction wants scores to be divided by.
    """

    def __init__(self, problem: Problem, unit: float) -> None:
        """Take over the bounds."""
        soft, clip = problem.soft_clip, problem.clip
        self.unit = unit if soft is None else soft
        """What scores in a block to be clipped must have been divided by: a soft clip starts from ``score / c``."""
        self._soft = None if soft is None else soft / unit
        self._clip = None if clip is None else clip / unit
        # The hard bound in the unit of the block as it comes, but bent already.
        self._edge = None if clip is None else clip / self.unit
        self.keeps_zeros = soft is None
        """Whether a slope of zero stays one: not where the bent score is a NaN."""
        self._squares: Tensor | None = None
        self._outside: Tensor | None = None

    def apply(self, block: Tensor, blocks: Blocks, slopes: bool) -> None:
        """Clip a block, which then is in the reduction's unit; with ``slopes``, remember what `to_slopes` needs."""
        if self._soft is not None:
            block.tanh_()
        if slopes and self._edge is not None:
            self._outside = torch.abs(block, out=blocks.scores("clipping", *block.shape)) > self._edge
        if self._soft is not None:
            if slopes:
                self._squares = torch.square(block, out=blocks.scores("clipping", *block.shape))
            block.mul_(self._soft)
        if self._clip is not None:
            block.clamp_(-self._clip, self._clip)

    def to_slopes(self, block: Tensor) -> None:
        """Multiply slopes by the derivative of the clipping: ``1 - tanh(score / c) ** 2``, and zero outside."""
        if self._squares is not None:
            block.addcmul_(block, self._squares, value=-1.0)
        if self._outside is not None:
            block.masked_fill_(self._outside, 0.0)
        self._squares = self._outside = None  # the next block's mask is made before this one would be let go
