"""The backward kernels: each program owns the rows it writes, so nothing is added up in an order left to chance."""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from infomax.ops.triton.tiles import load_rows, product, score_tile, slope_tile

__all__ = ["grad_key_kernel", "grad_query_kernel"]


@triton.jit
def _add_joint(
    total, other, other_index, grad_joint, starts, rows, columns,
    row_count, other_count, dim, other_stride, other_step, scale, offset, step,
):  # fmt: skip
    """Add ``scale * grad_joint[j] * other[other_index[j]]`` over the pairs j of each row: every ``step``-th of them."""
    first = tl.load(starts + rows, mask=rows < row_count, other=0)
    last = tl.load(starts + rows + 1, mask=rows < row_count, other=0)
    longest = tl.max(last - first, 0)
    for turn in range(offset, longest, step):
        pair = first + turn
        listed = pair < last
        weight = tl.load(grad_joint + pair, mask=listed, other=0.0) * scale
        index = tl.load(other_index + pair, mask=listed, other=0)
        vectors = load_rows(other, index, columns, other_count, dim, other_stride, other_step)
        total += weight[:, None] * vectors.to(tl.float32)
    return total


@triton.jit
def grad_key_kernel(
    query, key, query_group, key_group, value, grad_value, grad_key, joint_query, grad_joint, starts,
    row_count, key_count, dim, query_stride, query_step, key_stride, key_step,
    scale, clip, soft_clip, drop,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, JOINT: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr,
    WHOLE: tl.constexpr,
):  # fmt: skip
    """Program (i, c) owns keys of tile i and their c-th chunk of features, and goes through all queries."""
    keys = tl.program_id(0) * BK + tl.arange(0, BK)
    chunk = tl.program_id(1) * BO + tl.arange(0, BO)
    total = tl.zeros((BK, BO), dtype=tl.float32)
    for start in range(0, row_count, BM):
        rows = start + tl.arange(0, BM)
        scores, admissible = score_tile(
            query, key, query_group, key_group, rows, keys, row_count, key_count, dim,
            query_stride, query_step, key_stride, key_step, scale, BM, BK, BD, WHOLE, GROUPED, PRECISION,
        )  # fmt: skip
        reduced = tl.load(value + rows, mask=rows < row_count, other=0.0)
        grad = tl.load(grad_value + rows, mask=rows < row_count, other=0.0)
        slope = slope_tile(scores, admissible, reduced, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
        weight = slope * grad[:, None]
        vectors = load_rows(query, rows, chunk, row_count, dim, query_stride, query_step)
        total = product(tl.trans(weight.to(vectors.dtype)), vectors, total, PRECISION)
    total *= tl.load(drop) * scale
    if JOINT:
        total = _add_joint(
            total, query, joint_query, grad_joint, starts, keys, chunk,
            key_count, row_count, dim, query_stride, query_step, scale, 0, 1,
        )  # fmt: skip
    inside = (keys[:, None] < key_count) & (chunk[None, :] < dim)
    offsets = keys[:, None].to(tl.int64) * dim + chunk[None, :]
    tl.store(grad_key + offsets, total.to(grad_key.dtype.element_ty), mask=inside)


@triton.jit
def grad_query_kernel(
    query, key, query_group, key_group, value, grad_value, partial, joint_key, grad_joint, starts,
    row_count, key_count, dim, query_stride, query_step, key_stride, key_step, keys_per_part,
    scale, clip, soft_clip, drop,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, JOINT: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr,
    WHOLE: tl.constexpr,
):  # fmt: skip
    """Program (i, c, p) owns queries of tile i, their c-th chunk of features, and the p-th range of keys."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    chunk = tl.program_id(1) * BO + tl.arange(0, BO)
    part = tl.program_id(2)
    first = part * keys_per_part
    last = tl.minimum(first + keys_per_part, key_count)
    reduced = tl.load(value + rows, mask=rows < row_count, other=0.0)
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
    total *= tl.load(drop) * scale
    if JOINT:
        total = _add_joint(
            total, key, joint_key, grad_joint, starts, rows, chunk,
            row_count, key_count, dim, key_stride, key_step, scale, part, tl.num_programs(2),
        )  # fmt: skip
    inside = (rows[:, None] < row_count) & (chunk[None, :] < dim)
    offsets = (part.to(tl.int64) * row_count + rows[:, None]) * dim + chunk[None, :]
    tl.store(partial + offsets, total, mask=inside)
