"""The backward kernels. No two programs write the same results, so all sums have a fixed order."""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from infomax.ops.triton.joint import add_joint, first_pair
from infomax.ops.triton.tiles import load_rows, load_values, product, score_tile, slope_tile

__all__ = ["grad_key_kernel", "grad_query_kernel"]


@triton.jit
def grad_key_kernel(
    query, key, query_group, key_group, value, grad_value, grad_key, joint_query, joint_key, grad_joint,
    row_count, key_count, joint_count, dim, query_stride, query_step, key_stride, key_step,
    scale, clip, soft_clip, drop,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, JOINT: tl.constexpr,
    LIFTED: tl.constexpr, BJ: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr,
    WHOLE: tl.constexpr,
):  # fmt: skip
    """Program (i, c) computes the gradient of key tile i in the c-th chunk of features, in a loop over all queries."""
    keys = tl.program_id(0) * BK + tl.arange(0, BK)
    chunk = tl.program_id(1) * BO + tl.arange(0, BO)
    total = tl.zeros((BK, BO), dtype=tl.float32)
    for start in range(0, row_count, BM):
        rows = start + tl.arange(0, BM)
        scores, admissible = score_tile(
            query, key, query_group, key_group, rows, keys, row_count, key_count, dim,
            query_stride, query_step, key_stride, key_step, scale, BM, BK, BD, WHOLE, GROUPED, PRECISION,
        )  # fmt: skip
        reduced = load_values(value, rows, row_count)
        grad = tl.load(grad_value + rows, mask=rows < row_count, other=0.0)
        slope = slope_tile(scores, admissible, reduced, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
        weight = slope * grad[:, None]
        vectors = load_rows(query, rows, chunk, row_count, dim, query_stride, query_step)
        total = product(tl.trans(weight.to(vectors.dtype)), vectors, total, PRECISION)
    if JOINT:
        lowest = tl.program_id(0) * BK
        first, last = first_pair(joint_key, joint_count, lowest), first_pair(joint_key, joint_count, lowest + BK)
        total = add_joint(
            total, keys, lowest, BK, joint_key, query, joint_query, grad_joint, first, last,
            chunk, row_count, dim, query_stride, query_step, BJ, PRECISION,
        )  # fmt: skip
    total *= scale
    if LIFTED:
        total *= tl.load(drop)
    inside = (keys[:, None] < key_count) & (chunk[None, :] < dim)
    offsets = keys[:, None].to(tl.int64) * dim + chunk[None, :]
    tl.store(grad_key + offsets, total.to(grad_key.dtype.element_ty), mask=inside)


@triton.jit
def grad_query_kernel(
    query, key, query_group, key_group, value, grad_value, partial, joint_query, joint_key, grad_joint,
    row_count, key_count, joint_count, dim, query_stride, query_step, key_stride, key_step, keys_per_part,
    scale, clip, soft_clip, drop,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, JOINT: tl.constexpr,
    LIFTED: tl.constexpr, BJ: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr,
    WHOLE: tl.constexpr,
):  # fmt: skip
    """Program (i, c, p) computes the gradient of query tile i in the c-th chunk of features, over key range p."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    chunk = tl.program_id(1) * BO + tl.arange(0, BO)
    part = tl.program_id(2)
    first = part * keys_per_part
    last = tl.minimum(first + keys_per_part, key_count)
    reduced = load_values(value, rows, row_count)
    grad = tl.load(grad_value + rows, mask=rows < row_count, other=0.0)
    total = tl.zeros((BM, BO), dtype=tl.float32)
    for start in range(first, last, BK):
        keys = start + tl.arange(0, BK)
        scores, admissible = score_tile(
            query, key, query_group, key_group, rows, keys, row_count, last, dim,
            query_stride, query_step, key_stride, key_step, scale, BM, BK, BD, WHOLE, GROUPED, PRECISION,
        )  # fmt: skip
        slope = slope_tile(scores, admissible, reduced, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
        weight = slope * grad[:, None]
        vectors = load_rows(key, keys, chunk, last, dim, key_stride, key_step)
        total = product(weight.to(vectors.dtype), vectors, total, PRECISION)
    if JOINT:
        lowest = tl.program_id(0) * BM
        first, last = first_pair(joint_key, joint_count, first), first_pair(joint_key, joint_count, last)
        total = add_joint(
            total, rows, lowest, BM, joint_query, key, joint_key, grad_joint, first, last,
            chunk, key_count, dim, key_stride, key_step, BJ, PRECISION,
        )  # fmt: skip
    total *= scale
    if LIFTED:
        total *= tl.load(drop)
    inside = (rows[:, None] < row_count) & (chunk[None, :] < dim)
    offsets = (part.to(tl.int64) * row_count + rows[:, None]) * dim + chunk[None, :]
    tl.store(partial + offsets, total, mask=inside)
