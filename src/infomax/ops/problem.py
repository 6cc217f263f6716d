"""The description of a reduction that every backend takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from infomax._precision import accumulation_dtype

__all__ = ["REDUCTIONS", "Problem", "Reduction", "addressable", "count_keys"]

Reduction: TypeAlias = Literal["logsumexp", "softplus", "sum", "square_sum", "pearson"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)


def count_keys(key: Tensor) -> int:
    """Return the number of keys in rows ``(K, d)`` or a map ``(N, d, P)``."""
    return key.shape[0] if key.ndim == 2 else key.shape[0] * key.shape[2]


def addressable(rows: Tensor) -> Tensor:
    """Return rows that a kernel can address: it counts rows in 64 bits, but offsets within a row in 32 bits."""
    return rows if rows.stride(1) * rows.shape[1] < 2**31 else rows.contiguous()


@dataclass(frozen=True)
class Problem:
    """A reduction of ``scale * <query[q], key[k]>`` over the keys of another group, with the scores of joint pairs.

    Attributes:
        query: ``(M, d)``.
        key: ``(K, d)``; or, for a backend that takes maps, a map ``(N, d, P)`` whose K = N P locations are the keys.
        query_group: ``(M,)`` int64, or None if nothing is excluded.
        key_group: ``(K,)`` int64, or None if nothing is excluded.
        joint_query: ``(J,)`` int64 rows of ``query``, or None.
        joint_key: ``(J,)`` int64 rows of ``key``, non-decreasing, or None.
        reduction: One of `REDUCTIONS`, or ``"none"``. All but ``"logsumexp"`` sum a function of each score.
        scale: Factor of every score.
        clip: Bound on the magnitude of the reduced scores, or None. Joint scores are never clipped.
        soft_clip: The c of the soft clip ``c * tanh(score / c)`` of reduced scores before ``clip``, or None.
        workspace: Largest size of the blocks of scores in bytes.
    """

    query: Tensor
    key: Tensor
    query_group: Tensor | None
    key_group: Tensor | None
    joint_query: Tensor | None
    joint_key: Tensor | None
    reduction: str
    scale: float
    clip: float | None
    soft_clip: float | None
    workspace: int

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of scores, sums and results."""
        return accumulation_dtype(self.query.dtype)

    @property
    def keys(self) -> int:
        """The number of keys K."""
        return count_keys(self.key)

    @property
    def joints(self) -> int:
        """The number of joint pairs."""
        return 0 if self.joint_key is None else self.joint_key.shape[0]
