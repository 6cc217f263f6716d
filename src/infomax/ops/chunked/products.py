"""The matrix products, for keys that are rows and for keys that are the locations of a map.

A map ``(n, d, P)`` is not copied: its products are batched over the examples.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add_to_keys", "add_to_queries", "scores_into"]


def scores_into(block: Tensor, keys: Tensor, queries: Tensor) -> None:
    """Write the scores of keys, ``(B, d)`` or ``(n, d, P)``, with queries ``(M, d)`` to a block ``(B, M)``."""
    if keys.ndim == 2:
        torch.mm(keys, queries.T, out=block)
    else:
        torch.bmm(keys.transpose(1, 2), _each(queries.T, keys), out=_by_example(block, keys))


def add_to_queries(total: Tensor, weight: Tensor, keys: Tensor, *, first: bool) -> None:
    """Add ``weight.T @ keys`` to the queries' gradient ``(M, d)``; if ``first``, overwrite it."""
    beta = 0.0 if first else 1.0
    if keys.ndim == 2:
        torch.addmm(total, weight.T, keys, beta=beta, out=total)
    else:
        batch = _by_example(weight, keys).transpose(1, 2)
        torch.addbmm(total, batch, keys.transpose(1, 2), beta=beta, out=total)


def add_to_keys(total: Tensor, weight: Tensor, queries: Tensor, *, first: bool) -> None:
    """Add ``weight @ queries`` to the keys' gradient, ``(B, d)`` or ``(n, d, P)``; if ``first``, overwrite it."""
    beta = 0.0 if first else 1.0
    if total.ndim == 2:
        torch.addmm(total, weight, queries, beta=beta, out=total)
    else:
        batch = _by_example(weight, total).transpose(1, 2)
        torch.baddbmm(total, _each(queries.T, total), batch, beta=beta, out=total)


def _by_example(block: Tensor, keys: Tensor) -> Tensor:
    return block.view(keys.shape[0], keys.shape[2], block.shape[1])


def _each(matrix: Tensor, keys: Tensor) -> Tensor:
    return matrix.expand(keys.shape[0], *matrix.shape)
