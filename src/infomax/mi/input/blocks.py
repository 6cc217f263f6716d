"""Blocks of rows, within which every x is paired with every y."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.scores.reductions import logsumexp

__all__ = ["BLOCK", "WIDE_BLOCK", "all_pairs", "dv_of", "in_blocks", "some_pairs"]

BLOCK = 100
"""Rows per block of test rows. A block may hold a few more, or fewer where a fold is small."""
WIDE_BLOCK = 200
"""Rows per block of validation rows, likewise. It is larger because choices use the mean of e^T over many pairs."""


def in_blocks(rows: Tensor, size: int = BLOCK) -> Tensor:
    """Split rows into as many blocks of at least ``size`` rows as possible, (blocks, rows per block).

    All blocks have the same size, so the last rows may be left out: fewer rows than there are blocks, which is less
    than one row in ``size``. Fewer than ``size`` rows form a single block.

    Example:
        >>> in_blocks(torch.arange(9), 3)
        tensor([[0, 1, 2],
                [3, 4, 5],
                [6, 7, 8]])
        >>> in_blocks(torch.arange(9), 4)
        tensor([[0, 1, 2, 3],
                [4, 5, 6, 7]])
        >>> in_blocks(torch.arange(5), 3)
        tensor([[0, 1, 2, 3, 4]])
    """
    blocks = len(rows) // min(size, len(rows))
    return rows[: len(rows) // blocks * blocks].view(blocks, -1)


def all_pairs(size: int, device: torch.device) -> Tensor:
    """Return the partners of each row of a block, (size, size): first the row itself, then all others.

    Example:
        >>> all_pairs(3, torch.device("cpu"))
        tensor([[0, 1, 2],
                [1, 2, 0],
                [2, 0, 1]])
    """
    return some_pairs(size, torch.arange(size, device=device))


def some_pairs(size: int, shifts: Tensor) -> Tensor:
    """Return the partners of each row, (size, shifts): the rows that follow it by each shift, cyclically."""
    return (torch.arange(size, device=shifts.device)[:, None] + shifts) % size


def dv_of(scores: Tensor) -> Tensor:
    """Return the Donsker-Varadhan value in nats, (...), of scores (..., n, 1 + K); column 0 holds the joint pairs."""
    marginal = scores[..., 1:].flatten(-2)
    return scores[..., 0].mean(-1) - (logsumexp(marginal) - math.log(marginal.shape[-1]))
