"""The backward pass: the two matrix products that carry the weights of the scores to queries and keys."""

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
    """Return the gradients of query and key; an empty tensor stands for one that is not needed."""
    plan = Plan.of(problem, bool(saved.numel()))
    weights = Weights(problem, plan, grad_value, grad_joint, value, saved)
    return gradients(problem, weights, need_query, need_key)


class WeightBlocks(Protocol):
    """Hands out the derivative of the loss by the scores, block by block."""

    plan: Plan
    blocks: Blocks

    def block(self, index: int, rows: slice, keys: Tensor, queries: Tensor) -> Tensor:
        """Return the weights ``(B, M)`` of a block, as `Weights.block`."""


def gradients(problem: Problem, weights: WeightBlocks, need_query: bool, need_key: bool) -> tuple[Tensor, Tensor]:
    """Carry weights to queries and keys; an empty tensor stands for a gradient that is not needed."""
    plan = weights.plan
    query, key = problem.query, problem.key
    grad_query = query.new_zeros(query.shape) if need_query else None
    grad_key = new_empty(key, key.shape, key.dtype) if need_key else None
    if grad_key is not None and not plan.rows:
        grad_key.zero_()
    narrow = query.dtype != problem.dtype
    if narrow and len(plan.rows) > 1 and grad_key is not None:
        # A sum must not be rounded to a half on its way, and a wide copy of a whole gradient would not fit: each
        # gradient has a sweep of its own that finishes one block of it after the other.
        _sweep_keys(weights, grad_key)
        grad_key_left = None
    else:
        grad_key_left = grad_key
    if grad_query is not None or grad_key_left is not None:
        _sweep_queries(weights, grad_query, grad_key_left)
    empty = query.new_empty(0)
    return (empty if grad_query is None else grad_query), (empty if grad_key is None else grad_key)


def _sweep_queries(weights: WeightBlocks, grad_query: Tensor | None, grad_key: Tensor | None) -> None:
    """Finish one block of queries after the other; the keys' gradient grows with each."""
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
    """Finish the gradient of one block of keys after the other."""
    blocks, plan = weights.blocks, weights.plan
    for index, part in enumerate(plan.keys):
        keys = blocks.keys(part)
        total = blocks.sum_into("grad_key", grad_key[part])
        for rows in plan.rows:
            queries = blocks.queries(rows)
            weight = weights.block(index, rows, keys, queries)
            add_to_keys(total, weight, queries, first=rows.start == 0)
        grad_key[part] = total
