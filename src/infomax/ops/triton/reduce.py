"""The forward kernel: the reduction of every query over a range of keys."""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from infomax.ops.triton.tiles import absorb_tile, clip_tile, score_tile

__all__ = ["reduce_kernel"]


@triton.jit
def reduce_kernel(
    query, key, query_group, key_group, partial,
    row_count, key_count, dim, query_stride, query_step, key_stride, key_step, keys_per_part, scale, clip, soft_clip,
    REDUCTION: tl.constexpr, GROUPED: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr,
    PRECISION: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Program (i, p) reduces query tile i over the p-th range of keys, and writes the result to ``partial[p]``."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    part = tl.program_id(1)
    first = part * keys_per_part
    last = tl.minimum(first + keys_per_part, key_count)
    # A finite initial peak, so that the -inf of an excluded score minus the peak is -inf and not NaN.
    peak = tl.full((BM,), -3.0e38, dtype=tl.float32)
    total = tl.zeros((BM,), dtype=tl.float32)
    for start in range(first, last, BK):
        keys = start + tl.arange(0, BK)
        scores, admissible = score_tile(
            query, key, query_group, key_group, rows, keys, row_count, last, dim,
            query_stride, query_step, key_stride, key_step, scale, BM, BK, BD, WHOLE, GROUPED, PRECISION,
        )  # fmt: skip
        scores = clip_tile(scores, clip, soft_clip, CLIPPED, SOFT)
        peak, total = absorb_tile(scores, admissible, peak, total, REDUCTION)
    if REDUCTION == "logsumexp":
        empty = total == 0
        total = tl.where(empty, float("-inf"), peak + tl.log(tl.where(empty, 1.0, total)))
    tl.store(partial + part * row_count + rows, total, mask=rows < row_count)
