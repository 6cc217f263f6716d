"""The backward pass: two matrix products turn the weights of scores into the gradients of queries and keys."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from infomax.ops.chunked.blocks import Blocks, slice_keys
from infomax.ops.chunked.pages import new_empty
from infomax.ops.chunked.plan import Plan
from infomax.ops.chunked.products import add_to_keys, add_to_queries
from infomax.ops.chunked.weights import Weights
from infomax.ops.problem import Problem

__all__ = ["backward", "gradients"]


def backward(
    problem: Problem,
    grad_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    saved: Tensor,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed."""
    plan = Plan.of(problem, bool(saved.numel()))
    weights = Weights(problem, plan, grad_value, grad_joint, value, saved)
    return gradients(problem, weights, need_query, need_key)


class WeightBlocks(Protocol):
    """An object that returns weights, the derivatives of the loss by the scores, block by block."""

    plan: Plan
    blocks: Blocks

    def block(self, index: int, rows: slice, keys: Tensor, queries: Tensor) -> Tensor:
        """Return the weights ``(B, M)`` of a block, with the arguments of `Weights.block`."""


def gradients(problem: Problem, weights: WeightBlocks, need_query: bool, need_key: bool) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key from weights, or an empty tensor for one that is not needed."""
    plan = weights.plan
    query, key = problem.query, problem.key
    grad_query = query.new_zeros(query.shape) if need_query else None
    grad_key = new_empty(key, key.shape, key.dtype) if need_key else None
    if grad_key is not None and not plan.rows:
        grad_key.zero_()
    narrow = query.dtype != problem.dtype
    if narrow and len(plan.rows) > 1 and grad_key is not None:
        # Partial sums must not be rounded to half precision, and a wide copy of a whole gradient may not fit in the
        # workspace. So each gradient gets a sweep of its own, which completes its blocks one after the other.
        _sweep_keys(weights, grad_key)
        grad_key_left = None
    else:
        grad_key_left = grad_key
    if grad_query is not None or grad_key_left is not None:
        _sweep_queries(weights, grad_query, grad_key_left)
    empty = query.new_empty(0)
    return (empty if grad_query is None else grad_query), (empty if grad_key is None else grad_key)


def _sweep_queries(weights: WeightBlocks, grad_query: Tensor | None, grad_key: Tensor | None) -> None:
    """Complete the gradient of one block of queries at a time, and add each block's part to the keys' gradient."""
    blocks, plan = weights.blocks, weights.plan
    for rows in plan.rows:
        queries = blocks.queries(rows)
        total = None if grad_query is None else blocks.sum_into("grad_query", grad_query[rows])
        for index, part in enumerate(plan.keys):
            keys = blocks.keys(part)
            weight = weights.block(index, rows, keys, queries)
            if total is not None:
                add_to_queries(total, weight, keys, first=index == 0)
            if grad_key is not None:
                target = blocks.sum_into("grad_key", slice_keys(grad_key, part))
                add_to_keys(target, weight, queries, first=rows.start == 0)
                if target.dtype != grad_key.dtype:
                    grad_key[part] = target
        if total is not None and grad_query is not None and plan.keys:
            grad_query[rows] = total.mul_(blocks.factor)


def _sweep_keys(weights: WeightBlocks, grad_key: Tensor) -> None:
    """Complete the gradient of one block of keys at a time."""
    blocks, plan = weights.blocks, weights.plan
    for index, part in enumerate(plan.keys):
        keys = blocks.keys(part)
        total = blocks.sum_into("grad_key", grad_key[part])
        for rows in plan.rows:
            queries = blocks.queries(rows)
            weight = weights.block(index, rows, keys, queries)
            add_to_keys(total, weight, queries, first=rows.start == 0)
        grad_key[part] = total
