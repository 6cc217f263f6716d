"""Baselines for our losses: the written-out formula, the matrix products alone, and KeOps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as nnf

from benchmarks.harness import DEVICE

__all__ = ["MOST_BYTES", "bare_products", "keops_logsumexp", "written_out_bytes", "written_out_infonce"]

MOST_BYTES = 12 * 2**30
"""The largest memory of the written-out formula's tables; larger cases are skipped."""


def written_out_infonce(local: Tensor, global_: Tensor) -> Tensor:
    """Compute InfoNCE as public code writes it: a row of logits per joint pair, (N P) x (1 + N P) in all.

    As in that code, the logits have an axis for several globals per example; its length is 1 here. The pairs of a
    global with its own locations are masked out of its marginal pairs with -inf, so they are left out exactly.

    Args:
        local: (N, P, d).
        global_: (N, d).
    """
    examples, locations, _ = local.shape
    joint = torch.matmul(local, global_[:, :, None])
    marginal = torch.mm(global_, local.flatten(0, 1).T).view(examples, examples, locations, 1)
    same = torch.eye(examples, dtype=torch.bool, device=local.device)[:, :, None, None]
    rows = marginal.masked_fill(same, -torch.inf).view(examples, 1, examples * locations, 1)
    logits = torch.cat([joint[:, :, None], rows.expand(-1, locations, -1, -1)], 2)
    return -nnf.log_softmax(logits, 2)[:, :, 0].mean()


def written_out_bytes(examples: int, locations: int) -> int:
    """Return the bytes of the formula's float32 tables: logits, log-softmax and the gradients of both."""
    return 4 * 4 * (examples * locations) ** 2


def bare_products(query: Tensor, key: Tensor, scores: int, gradients: int = 2) -> Callable[[], object]:
    """Return a function that computes the matrix products of forward and backward, and nothing else.

    Args:
        query: (M, d).
        key: (K, d).
        scores: how many times the (M, K) table of scores is computed.
        gradients: 2 for the gradients of queries and keys, 1 for the gradient of the keys, 0 for none.
    """
    grad = torch.randn(query.shape[0], key.shape[0], dtype=query.dtype, device=query.device)

    def run() -> tuple[Tensor, ...]:
        tables = [torch.mm(query, key.T) for _ in range(scores)]
        of_key = [torch.mm(grad.T, query)] if gradients else []
        of_query = [torch.mm(grad, key)] if gradients == 2 else []
        return (*tables, *of_query, *of_key)

    return run


def keops_logsumexp(queries: int, keys: int, dim: int) -> Callable[[Tensor, Tensor], Tensor] | str:
    """Return KeOps' streamed log-sum-exp over all keys, or why it is skipped. Unlike ours, it excludes no pair."""
    if dim > 512:
        return "made for small d; a minute to compile at this one"
    if DEVICE == "cpu" and queries * keys * dim > 4e9:
        return "a minute or more each time"
    if importlib.util.find_spec("pykeops") is None:
        return "pykeops is not installed"
    from pykeops.torch import LazyTensor

    def run(query: Tensor, key: Tensor) -> Tensor:
        left, right = LazyTensor(query[:, None]), LazyTensor(key[None])
        return (left * right).sum(-1).logsumexp(1).squeeze(-1)

    return run
