"""The kernels that process a block of scores between two matrix products.

Blocks are query-major: one row per query, one column per key.
"""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from infomax.ops.triton.tiles import absorb_tile, admissible_tile, clip_tile, load_values, score_tile, slope_tile

__all__ = ["add_joint_kernel", "read_joint_kernel", "reduce_block_kernel", "weigh_block_kernel", "weigh_kernel"]


@triton.jit
def _offsets(rows, keys, stride):
    return rows[:, None].to(tl.int64) * stride + keys[None, :]


@triton.jit
def reduce_block_kernel(
    scores, query_group, key_group, peaks, totals, slopes, references,
    row_count, key_count, keys_per_part, score_stride, state_stride, slope_stride, reference_stride,
    scale, clip, soft_clip,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, KEEP: tl.constexpr,
    BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Program (i, p) adds the p-th range of a block's keys to the running sums of query tile i.

    With ``KEEP`` it also writes the slopes. Those of a log-sum-exp are relative to the running peak, which it writes as
    the reference.
    """
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    inside = rows < row_count
    part = tl.program_id(1)
    first = part * keys_per_part
    last = tl.minimum(first + keys_per_part, key_count)
    state = part * state_stride + rows
    peak = tl.load(peaks + state, mask=inside, other=0.0)
    total = tl.load(totals + state, mask=inside, other=0.0)
    for start in range(first, last, BK):
        keys = start + tl.arange(0, BK)
        present = inside[:, None] & (keys[None, :] < last)
        block = tl.load(scores + _offsets(rows, keys, score_stride), mask=present, other=0.0) * scale
        admissible = admissible_tile(query_group, key_group, rows, keys, row_count, last, GROUPED)
        clipped = clip_tile(block, clip, soft_clip, CLIPPED, SOFT)
        peak, total = absorb_tile(clipped, admissible, peak, total, REDUCTION)
        if KEEP:
            slope = slope_tile(block, admissible, peak, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
            target = slopes + _offsets(rows, keys, slope_stride)
            tl.store(target, slope, mask=present)
            if REDUCTION == "logsumexp":
                tl.store(references + tl.cast(start // BK, tl.int64) * reference_stride + rows, peak, mask=inside)
    tl.store(peaks + state, peak, mask=inside)
    tl.store(totals + state, total, mask=inside)


@triton.jit
def weigh_block_kernel(
    source, query_group, key_group, value, grad_value, references, weights,
    row_count, key_count, source_stride, weight_stride, reference_stride, scale, clip, soft_clip,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr, KEPT: tl.constexpr,
    BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Program (j, i) turns the scores or kept slopes of key tile j and query tile i into weights."""
    tile = tl.program_id(0)
    keys = tile * BK + tl.arange(0, BK)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    inside = rows < row_count
    present = inside[:, None] & (keys[None, :] < key_count)
    block = tl.load(source + _offsets(rows, keys, source_stride), mask=present, other=0.0)
    grad = tl.load(grad_value + rows, mask=inside, other=0.0)
    if REDUCTION == "logsumexp" or not KEPT:
        reduced = load_values(value, rows, row_count)
    if KEPT:
        factor = grad
        if REDUCTION == "logsumexp":
            reference = tl.load(references + tile.to(tl.int64) * reference_stride + rows, mask=inside, other=0.0)
            # Up to rounding, the peak is at most the log-sum-exp. A row without admissible keys gets the factor 0.
            factor *= tl.exp(tl.minimum(reference - reduced, 1.0))
        weight = block * factor[:, None]
    else:
        admissible = admissible_tile(query_group, key_group, rows, keys, row_count, key_count, GROUPED)
        slope = slope_tile(block * scale, admissible, reduced, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
        weight = slope * grad[:, None]
    tl.store(weights + _offsets(rows, keys, weight_stride), weight, mask=present)


@triton.jit
def weigh_kernel(
    query, key, query_group, key_group, value, grad_value, weights,
    row_count, key_count, dim, query_stride, query_step, key_stride, key_step, weight_stride, scale, clip, soft_clip,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Each program computes the scores of a tile and writes their weights; programs of one key tile are adjacent."""
    tiles = tl.cdiv(row_count, BM)
    rows = tl.program_id(0) % tiles * BM + tl.arange(0, BM)
    keys = tl.program_id(0) // tiles * BK + tl.arange(0, BK)
    inside = rows < row_count
    scores, admissible = score_tile(
        query, key, query_group, key_group, rows, keys, row_count, key_count, dim,
        query_stride, query_step, key_stride, key_step, scale, BM, BK, BD, WHOLE, GROUPED, PRECISION,
    )  # fmt: skip
    reduced = load_values(value, rows, row_count)
    grad = tl.load(grad_value + rows, mask=inside, other=0.0)
    slope = slope_tile(scores, admissible, reduced, clip, soft_clip, REDUCTION, CLIPPED, SOFT)
    weight = slope * grad[:, None]
    present = inside[:, None] & (keys[None, :] < key_count)
    tl.store(weights + _offsets(rows, keys, weight_stride), weight.to(weights.dtype.element_ty), mask=present)


@triton.jit
def read_joint_kernel(
    scores, joint_query, starts, joint, first_row, row_count, key_count, score_stride, scale, BJ: tl.constexpr
):
    """Program j reads the joint scores of the j-th key tile of a block; ``starts`` begins at the block's first key."""
    keys = tl.program_id(0) * BJ + tl.arange(0, BJ)
    first = tl.load(starts + keys, mask=keys < key_count, other=0)
    last = tl.load(starts + keys + 1, mask=keys < key_count, other=0)
    for turn in range(tl.max(last - first, 0)):
        pair = first + turn
        row = tl.load(joint_query + pair, mask=pair < last, other=-1) - first_row
        here = (row >= 0) & (row < row_count)
        score = tl.load(scores + row * score_stride + keys, mask=here, other=0.0)
        tl.store(joint + pair, score * scale, mask=here)


@triton.jit
def add_joint_kernel(weights, joint_query, starts, grad_joint, row_count, key_count, weight_stride, BJ: tl.constexpr):
    """Program j adds the gradients of the joint pairs of key tile j to their weights, one pair per key at a time."""
    keys = tl.program_id(0) * BJ + tl.arange(0, BJ)
    first = tl.load(starts + keys, mask=keys < key_count, other=0)
    last = tl.load(starts + keys + 1, mask=keys < key_count, other=0)
    for turn in range(tl.max(last - first, 0)):
        pair = first + turn
        row = tl.load(joint_query + pair, mask=pair < last, other=-1)
        here = (row >= 0) & (row < row_count)
        grad = tl.load(grad_joint + pair, mask=here, other=0.0)
        target = weights + row * weight_stride + keys
        sum_ = tl.load(target, mask=here, other=0.0).to(tl.float32) + grad
        tl.debug_barrier()  # a pair may be listed twice: threads must all read before any writes, and vice versa
        tl.store(target, sum_.to(weights.dtype.element_ty), mask=here)
        tl.debug_barrier()
