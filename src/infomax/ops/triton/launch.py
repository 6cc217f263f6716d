"""Grids, buffers and the order of kernels."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from infomax.ops.lift import lift_of
from infomax.ops.problem import Problem
from infomax.ops.triton.arguments import bounds_of, flags_of, groups_of, run_starts
from infomax.ops.triton.config import Tiles, tiles_for
from infomax.ops.triton.gradient import grad_key_kernel, grad_query_kernel
from infomax.ops.triton.reduce import joint_kernel, reduce_kernel

__all__ = ["backward", "forward"]

# Programs that keep the largest GPUs busy. A constant, so that sums are split alike on every device.
_PROGRAMS = 512
_JOINT_TILE = 32


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and an empty tensor: only the reduction is saved."""
    query, key = problem.query, problem.key
    queries, keys, dim = query.shape[0], key.shape[0], query.shape[1]
    nothing = query.new_empty(0, dtype=torch.float32)
    tiles = tiles_for("reduce", query.dtype, dim)
    if queries and keys:
        parts, length = _split(queries, keys, tiles, 1, problem.workspace // (4 * queries))
        partial = query.new_empty((parts, queries), dtype=torch.float32)
        grid = (triton.cdiv(queries, tiles.rows), parts)
        reduce_kernel[grid](
            query, key, *groups_of(problem), partial, queries, keys, dim, *query.stride(), *key.stride(),
            length, problem.scale, *bounds_of(problem), **_flags(problem), BM=tiles.rows, BK=tiles.keys, BD=tiles.depth,
            WHOLE=dim <= tiles.depth, num_warps=tiles.warps, num_stages=tiles.stages,
        )  # fmt: skip
        value = partial.logsumexp(0) if problem.reduction == "logsumexp" else partial.sum(0)
    else:
        empty = -torch.inf if problem.reduction == "logsumexp" else 0.0
        value = query.new_full((queries,), empty, dtype=torch.float32)
    joint = query.new_empty(problem.joints, dtype=torch.float32)
    if problem.joints:
        joint_kernel[(triton.cdiv(problem.joints, _JOINT_TILE),)](
            query, key, problem.joint_query, problem.joint_key, joint, queries, keys, problem.joints, dim,
            *query.stride(), *key.stride(), problem.scale, BJ=_JOINT_TILE, BD=tiles.depth,
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
    """Return the gradients of query and key; an empty tensor stands for one that is not needed."""
    query, key = problem.query, problem.key
    queries, keys, dim = query.shape[0], key.shape[0], query.shape[1]
    grad_query = query.new_zeros(query.shape if need_query else (0,))
    grad_key = key.new_zeros(key.shape if need_key else (0,))
    if not (queries and keys and dim):
        return grad_query, grad_key
    value = value.masked_fill(value == -torch.inf, 0.0)
    weight = torch.zeros_like(value) if grad_value is None else grad_value.contiguous()
    lift = lift_of(query.dtype, weight)
    drop = value.new_ones(())
    if lift is not None:
        weight, drop = weight * lift, 1.0 / lift
    flags = {**_flags(problem), "JOINT": grad_joint is not None and problem.joints > 0}
    sizes = (queries, keys, dim, *query.stride(), *key.stride())
    if need_key:
        tiles = tiles_for("grad_key", query.dtype, dim)
        chunks = triton.cdiv(dim, tiles.out)
        joints = _by_key(problem, grad_joint)
        grad_key_kernel[(triton.cdiv(keys, tiles.keys), chunks)](
            query, key, *groups_of(problem), value, weight, grad_key, *joints, *sizes,
            problem.scale, *bounds_of(problem), drop, **flags, **_tiles(tiles, dim),
        )  # fmt: skip
    if need_query:
        tiles = tiles_for("grad_query", query.dtype, dim)
        chunks = triton.cdiv(dim, tiles.out)
        joints = _by_query(problem, grad_joint)
        parts, length = _split(queries, keys, tiles, chunks, problem.workspace // (4 * queries * dim))
        partial = query.new_empty((parts, queries, dim), dtype=torch.float32)
        grad_query_kernel[(triton.cdiv(queries, tiles.rows), chunks, parts)](
            query, key, *groups_of(problem), value, weight, partial, *joints, *sizes, length,
            problem.scale, *bounds_of(problem), drop, **flags, **_tiles(tiles, dim),
        )  # fmt: skip
        grad_query = partial.sum(0).to(query.dtype)
    return grad_query, grad_key


def _split(queries: int, keys: int, tiles: Tiles, chunks: int, most: int) -> tuple[int, int]:
    """Return into how many ranges the keys are split, and their length: few queries must still fill the device."""
    programs = triton.cdiv(queries, tiles.rows) * chunks
    parts = max(1, min(_PROGRAMS // programs, triton.cdiv(keys, tiles.keys), most))
    length = triton.cdiv(triton.cdiv(keys, parts), tiles.keys) * tiles.keys
    return triton.cdiv(keys, length), length


def _by_key(problem: Problem, grad_joint: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the pairs' queries, their gradients, and where the run of each key starts."""
    if grad_joint is None or problem.joint_key is None:
        return None, None, None
    return problem.joint_query, grad_joint.contiguous(), run_starts(problem.joint_key, problem.key.shape[0])


def _by_query(problem: Problem, grad_joint: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the pairs' keys and gradients in the order of their queries, and where the run of each query starts."""
    if grad_joint is None or problem.joint_query is None or problem.joint_key is None:
        return None, None, None
    ordered, order = problem.joint_query.sort(stable=True)
    return problem.joint_key[order], grad_joint[order], run_starts(ordered, problem.query.shape[0])


def _flags(problem: Problem) -> dict[str, Any]:
    return {**flags_of(problem), "PRECISION": _precision(problem.query)}


def _tiles(tiles: Tiles, dim: int) -> dict[str, Any]:
    return {
        "BM": tiles.rows, "BK": tiles.keys, "BD": tiles.depth, "BO": tiles.out, "WHOLE": dim <= tiles.depth,
        "num_warps": tiles.warps, "num_stages": tiles.stages,
    }  # fmt: skip


def _precision(query: Tensor) -> str:
    if query.device.type != "cuda":
        return "interpreted"
    # tf32 only where torch's own products would use it.
    return "ieee" if query.dtype != torch.float32 or torch.get_float32_matmul_precision() == "highest" else "tf32"
