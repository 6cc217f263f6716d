"""Scores of listed pairs alone, one chunk of pairs at a time, for calls that reduce nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.add import add_at
from infomax.ops.problem import Problem

__all__ = ["BLOCK", "backward", "forward"]

BLOCK = 2**18
"""Number of elements in a block of gathered rows on a CPU, small enough to stay in its cache."""


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return zeros ``(M,)``, the joint scores ``(J,)`` and an empty tensor: nothing is reduced and nothing is kept."""
    query, key = problem.query, problem.key
    parts = [
        problem.scale * _products(_rows(query, at, problem.dtype), _rows(key, other, problem.dtype))
        for at, other, _ in _chunks(problem, None)
    ]
    joint = torch.cat(parts) if parts else query.new_zeros(0, dtype=problem.dtype)
    return query.new_zeros(query.shape[0], dtype=problem.dtype), joint, query.new_empty(0, dtype=problem.dtype)


def backward(
    problem: Problem,
    grad_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    saved: Tensor,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed.

    This function consists of differentiable operations, so that all higher derivatives exist.
    """
    query, key, dtype = problem.query, problem.key, problem.dtype
    grad_query, grad_key = (
        rows.new_zeros(rows.shape, dtype=dtype) if need else rows.new_empty(0)
        for rows, need in ((query, need_query), (key, need_key))
    )
    if grad_joint is not None:
        for at, other, grad in _chunks(problem, problem.scale * grad_joint):
            if need_query:
                add_at(grad_query, at, grad * _rows(key, other, dtype))
            if need_key:
                add_at(grad_key, other, grad * _rows(query, at, dtype))
    return grad_query.to(query.dtype), grad_key.to(key.dtype)


def _chunks(problem: Problem, grad: Tensor | None) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return, for each chunk of c pairs, the query rows, the key rows, and the gradients (c, 1) of the scores."""
    at, other = problem.joint_query, problem.joint_key
    if at is None or other is None or not len(at):
        return []
    # A chunk needs five tensors of its size: the rows of both sides, their widened copies, and a product.
    size = problem.workspace // (5 * problem.dtype.itemsize)
    if problem.query.device.type == "cpu":
        size = min(size, BLOCK)
    size = max(1, size // max(1, problem.query.shape[1]))
    grads = at.new_empty(len(at), 0) if grad is None else grad[:, None]
    return list(zip(*(torch.split(each, size) for each in (at, other, grads)), strict=True))


def _products(query: Tensor, key: Tensor) -> Tensor:
    # vecdot is a matrix product, whose factors a GPU may round to TF32.
    return torch.linalg.vecdot(query, key) if query.device.type == "cpu" else (query * key).sum(1)


def _rows(rows: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
    return rows.index_select(0, index).to(dtype)
