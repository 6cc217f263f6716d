"""The launches of kernels: their grids, buffers and order."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infomax.ops.lift import lift_of
from infomax.ops.problem import Problem, addressable
from infomax.ops.triton.arguments import bounds_of, cover, flags_of, groups_of
from infomax.ops.triton.config import Tiles, tiles_for
from infomax.ops.triton.gradient import grad_key_kernel, grad_query_kernel
from infomax.ops.triton.joint import PAIRS, joint_kernel
from infomax.ops.triton.reduce import reduce_kernel

__all__ = ["backward", "forward", "precision"]

# The number of programs that keeps the largest GPUs busy. It is a constant, so that every device splits sums alike.
_PROGRAMS = 512


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and an empty tensor, as no table is kept."""
    query, key = addressable(problem.query), addressable(problem.key)
    queries, keys, dim = query.shape[0], key.shape[0], query.shape[1]
    nothing = query.new_empty(0, dtype=torch.float32)
    tiles = tiles_for("add" if problem.reduction in ("sum", "square_sum") else "reduce", query.dtype, dim)
    if queries and keys:
        parts, length = _split(queries, keys, tiles, 1, problem.workspace // (4 * queries))
        partial = query.new_empty((parts, queries), dtype=torch.float32)
        grid = (cover(queries, tiles.rows), parts)
        reduce_kernel[grid](
            query, key, *groups_of(problem), partial, queries, keys, dim, *query.stride(), *key.stride(),
            length, problem.scale, *bounds_of(problem), **_flags(problem), **tiles.options(dim),
        )  # fmt: skip
        if parts == 1:
            value = partial[0]
        else:
            value = partial.logsumexp(0) if problem.reduction == "logsumexp" else partial.sum(0)
    else:
        empty = -torch.inf if problem.reduction == "logsumexp" else 0.0
        value = query.new_full((queries,), empty, dtype=torch.float32)
    joint = query.new_empty(problem.joints, dtype=torch.float32)
    if problem.joints:
        joint_kernel[(cover(problem.joints, PAIRS),)](
            query, key, problem.joint_query, problem.joint_key, joint, queries, keys, problem.joints, dim,
            *query.stride(), *key.stride(), problem.scale, BJ=PAIRS, BD=min(tiles.depth, 64),
        )  # fmt: skip
    return value, joint, nothing


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
    query, key = addressable(problem.query), addressable(problem.key)
    queries, keys, dim = query.shape[0], key.shape[0], query.shape[1]
    if not (queries and keys and dim):
        return query.new_zeros(query.shape if need_query else (0,)), key.new_zeros(key.shape if need_key else (0,))
    grad_query, grad_key = query.new_empty(0), key.new_empty(0)
    weight = torch.zeros_like(value) if grad_value is None else grad_value.contiguous()
    joint = None if grad_joint is None or not problem.joints else grad_joint.contiguous()
    lift, drop = lift_of(query.dtype, weight, joint), None
    if lift is not None:
        weight, joint, drop = weight * lift, None if joint is None else joint * lift, 1.0 / lift
    pairs = (None, None, None) if joint is None else (problem.joint_query, problem.joint_key, joint)
    before = (query, key, *groups_of(problem), value, weight)
    sizes = (queries, keys, problem.joints, dim, *query.stride(), *key.stride())
    bounds = (problem.scale, *bounds_of(problem), drop)
    flags = {**_flags(problem), "JOINT": joint is not None, "LIFTED": lift is not None, "BJ": PAIRS}
    if need_key:
        tiles = tiles_for("grad_key", query.dtype, dim)
        grad_key = key.new_empty(key.shape)
        grad_key_kernel[(cover(keys, tiles.keys), cover(dim, tiles.out))](
            *before, grad_key, *pairs, *sizes, *bounds, **flags, **tiles.options(dim), BO=tiles.out
        )
    if need_query:
        tiles = tiles_for("grad_query", query.dtype, dim)
        chunks = cover(dim, tiles.out)
        parts, length = _split(queries, keys, tiles, chunks, problem.workspace // (4 * queries * dim))
        partial = query.new_empty((parts, queries, dim), dtype=torch.float32)
        grad_query_kernel[(cover(queries, tiles.rows), chunks, parts)](
            *before, partial, *pairs, *sizes, length, *bounds, **flags, **tiles.options(dim), BO=tiles.out
        )
        grad_query = (partial.sum(0) if parts > 1 else partial[0]).to(query.dtype)
    return grad_query, grad_key


def _split(queries: int, keys: int, tiles: Tiles, chunks: int, most: int) -> tuple[int, int]:
    """Return the number and the length of the ranges of keys; with few queries, more ranges keep the device busy."""
    programs = cover(queries, tiles.rows) * chunks
    parts = max(1, min(_PROGRAMS // programs, cover(keys, tiles.keys), most))
    length = cover(cover(keys, parts), tiles.keys) * tiles.keys
    return cover(keys, length), length


def _flags(problem: Problem) -> dict[str, Any]:
    return {**flags_of(problem), "PRECISION": precision(problem.query)}


def precision(query: Tensor) -> str:
    """Return the precision of products in kernels, which is that of torch's own products."""
    if query.device.type != "cuda":
        return "interpreted"
    # TF32 only if torch's own products would use it.
    return "ieee" if query.dtype != torch.float32 or torch.get_float32_matmul_precision() == "highest" else "tf32"
