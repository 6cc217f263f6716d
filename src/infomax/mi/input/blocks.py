"""Rows in blocks, within which every x meets every y."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infomax.scores.reductions import logsumexp

__all__ = ["BLOCK", "WIDE_BLOCK", "all_pairs", "dv_of", "in_blocks", "some_pairs"]

BLOCK = 100
"""Rows of a block of test rows, or a few more; fewer where a fold has fewer."""
WIDE_BLOCK = 200
"""Rows of a block of validation rows, likewise: a choice rests on the mean of e^T, which needs many pairs."""


def in_blocks(rows: Tensor, size: int = BLOCK) -> Tensor:
    """Rows as (blocks, size or more): as many blocks as ``size`` allows, and as large as the rows allow.

    All blocks have one size, so that they are a table. Fewer rows than there are blocks are left out for that, which is
    less than one row in ``size``.

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
    """(size, size): whom each row of a block meets, itself first.

    Example:
        >>> all_pairs(3, torch.device("cpu"))
        tensor([[0, 1, 2],
                [1, 2, 0],
                [2, 0, 1]])
    """
    return some_pairs(size, torch.arange(size, device=device))


def some_pairs(size: int, shifts: Tensor) -> Tensor:
    """(size, shifts): the row that lies each of the shifts further on, in a circle."""
    return (torch.arange(size, device=shifts.device)[:, None] + shifts) % size


def dv_of(scores: Tensor) -> Tensor:
    """Donsker-Varadhan of scores (..., n, 1 + K), the joint ones first; (...), nats."""
    marginal = scores[..., 1:].flatten(-2)
    return scores[..., 0].mean(-1) - (logsumexp(marginal) - math.log(marginal.shape[-1]))
