"""The one problem that every backend solves, as data."""

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
    """Return rows as a kernel can address them: it counts 64 bits along a matrix and 32 bits along a row."""
    return rows if rows.stride(1) * rows.shape[1] < 2**31 else rows.contiguous()


@dataclass(frozen=True)
class Problem:
    """Reduce ``scale * <query[q], key[k]>`` over the keys of another group, and read the joint pairs off it.

    Attributes:
        query: ``(M, d)``.
        key: ``(K, d)``; or for a backend that takes one, a map ``(N, d, P)`` whose K = N P locations are the keys.
        query_group: ``(M,)`` int64, or None with ``key_group``: nothing is excluded.
        key_group: ``(K,)`` int64, or None.
        joint_query: ``(J,)`` int64 rows of ``query``, or None.
        joint_key: ``(J,)`` int64 rows of ``key``, non-decreasing, or None.
        reduction: One of `REDUCTIONS`, all but the first of which are sums of a function of each score; or ``"none"``.
        scale: Factor of every score.
        clip: Bound of the reduced scores' magnitude, or None. Joint scores are never clipped.
        soft_clip: The c of ``c * tanh(score / c)``, which reduced scores go through before ``clip``, or None.
        workspace: Bytes that blocks of scores may take.
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
