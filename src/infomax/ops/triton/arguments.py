"""Launch arguments of kernels, derived from a problem."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infomax.ops.problem import Problem

__all__ = ["bounds_of", "cover", "flags_of", "groups_of", "run_starts"]


def groups_of(problem: Problem) -> tuple[Tensor | None, Tensor | None]:
    """Return the groups of queries and keys as contiguous tensors, or None twice if nothing is excluded."""
    if problem.query_group is None or problem.key_group is None:
        return None, None
    return problem.query_group.contiguous(), problem.key_group.contiguous()


def bounds_of(problem: Problem) -> tuple[float, float]:
    """Return the hard and the soft bound; 0 stands for a bound that is not set, as the flags say."""
    return problem.clip or 0.0, problem.soft_clip or 0.0


def flags_of(problem: Problem) -> dict[str, Any]:
    """Return the compile-time flags of kernels, by name."""
    return {
        "REDUCTION": problem.reduction,
        "GROUPED": problem.query_group is not None,
        "CLIPPED": problem.clip is not None,
        "SOFT": problem.soft_clip is not None,
    }


def cover(size: int, tile: int) -> int:
    """Return how many tiles cover a size. `triton.cdiv` would take 15 microseconds per call on the host."""
    return -(-size // tile)


def run_starts(index: Tensor, size: int) -> Tensor:
    """Return where the run of each of 0, ..., size - 1 starts in sorted integers, and where the last run ends."""
    return torch.searchsorted(index, torch.arange(size + 1, device=index.device))
