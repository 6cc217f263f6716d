"""The soft and then hard clip of a block of scores, and its derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.chunked.blocks import Blocks
from infomax.ops.problem import Problem

__all__ = ["Clipping"]


class Clipping:
    """The clipping of a block of scores in place, and the derivative of the clipping for the slopes of the block.

    Args:
        problem: The problem to solve.
        unit: Divisor of the scores that the reduction takes.
    """

    def __init__(self, problem: Problem, unit: float) -> None:
        """Convert the bounds to the units of the blocks."""
        soft, clip = problem.soft_clip, problem.clip
        self.unit = unit if soft is None else soft
        """Divisor of the scores that `apply` takes; c for a soft clip, which starts from ``score / c``."""
        self._soft = None if soft is None else soft / unit
        self._clip = None if clip is None else clip / unit
        # The hard bound in the unit of the scores that `apply` takes; it is compared with them after the tanh.
        self._edge = None if clip is None else clip / self.unit
        self.keeps_zeros = soft is None
        """Whether `to_slopes` keeps zero slopes at zero. A soft clip may not: the factor of a NaN score is NaN."""
        self._squares: Tensor | None = None
        self._outside: Tensor | None = None

    def apply(self, block: Tensor, blocks: Blocks, slopes: bool) -> None:
        """Clip a block and convert it to the unit of the reduction; with ``slopes``, store what `to_slopes` needs."""
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
        self._squares = self._outside = None  # free them before the next block allocates its own
