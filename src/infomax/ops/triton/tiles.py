"""The tile of scores that all kernels share, and the functions that process it."""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "absorb_tile",
    "admissible_tile",
    "clip_tile",
    "load_rows",
    "load_values",
    "log1p",
    "product",
    "score_tile",
    "slope_tile",
    "tanh",
]


@triton.jit
def load_rows(pointer, rows, columns, row_count, column_count, row_stride, column_stride):
    """Load ``pointer[rows, columns]``, with zero outside. Row offsets have 64 bits, column offsets 32 bits."""
    inside = (rows[:, None] < row_count) & (columns[None, :] < column_count)
    offsets = rows[:, None].to(tl.int64) * row_stride + columns[None, :] * column_stride
    return tl.load(pointer + offsets, mask=inside, other=0.0)


@triton.jit
def load_values(value, rows, row_count):
    """Load the reductions of queries, with 0 for the -inf of a query without admissible keys, to avoid NaN slopes."""
    values = tl.load(value + rows, mask=rows < row_count, other=0.0)
    return tl.where(values == float("-inf"), 0.0, values)


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr):
    """Return ``total + left @ right``, summed in float32. The interpreter needs the casts: it misreads bfloat16."""
    if PRECISION == "interpreted":
        return tl.dot(left.to(tl.float32), right.to(tl.float32), total)
    return tl.dot(left, right, total, input_precision=PRECISION)


@triton.jit
def log1p(z):
    """Return ``log(1 + z)`` for z in [0, 1] from the series of ``2 artanh(z / (2 + z))``, accurate for small z, too.

    The logarithm of the hardware has an absolute error of about 1e-7, which is as large as the result for a small z.
    """
    t = z / (2.0 + z)
    u = t * t
    series = 1.0 / 15.0
    series = series * u + 1.0 / 13.0
    series = series * u + 1.0 / 11.0
    series = series * u + 1.0 / 9.0
    series = series * u + 1.0 / 7.0
    series = series * u + 1.0 / 5.0
    series = series * u + 1.0 / 3.0
    series = series * u + 1.0
    return 2.0 * t * series


@triton.jit
def admissible_tile(query_group, key_group, rows, keys, row_count, key_count, GROUPED: tl.constexpr):
    """Return a mask of the pairs of a tile that are within bounds and have different groups."""
    admissible = (rows[:, None] < row_count) & (keys[None, :] < key_count)
    if GROUPED:
        of_query = tl.load(query_group + rows, mask=rows < row_count, other=0)
        of_key = tl.load(key_group + keys, mask=keys < key_count, other=0)
        admissible = admissible & (of_query[:, None] != of_key[None, :])
    return admissible


@triton.jit
def score_tile(
    query, key, query_group, key_group, rows, keys, row_count, key_count, dim,
    query_stride, query_step, key_stride, key_step, scale,
    BM: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, WHOLE: tl.constexpr,
    GROUPED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return the scores ``(BM, BK)`` in float32, and a mask of the admissible ones.

    With ``WHOLE``, BD covers all features, and this function has no loop, so Triton can overlap the loads of the
    caller's loop.
    """
    scores = tl.zeros((BM, BK), dtype=tl.float32)
    if WHOLE:
        columns = tl.arange(0, BD)
        left = load_rows(query, rows, columns, row_count, dim, query_stride, query_step)
        right = load_rows(key, keys, columns, key_count, dim, key_stride, key_step)
        scores = product(left, tl.trans(right), scores, PRECISION)
    else:
        for start in range(0, dim, BD):
            columns = start + tl.arange(0, BD)
            left = load_rows(query, rows, columns, row_count, dim, query_stride, query_step)
            right = load_rows(key, keys, columns, key_count, dim, key_stride, key_step)
            scores = product(left, tl.trans(right), scores, PRECISION)
    return scores * scale, admissible_tile(query_group, key_group, rows, keys, row_count, key_count, GROUPED)


@triton.jit
def tanh(x):
    """Return the hyperbolic tangent. Near zero, ``1 - exp(-2 x)`` cancels, so the polynomial of Cephes is used."""
    size = tl.abs(x)
    decay = tl.exp(-2.0 * size)
    far = (1.0 - decay) / (1.0 + decay)
    u = tl.where(size < 0.625, x * x, 0.0)
    series = -5.70498872745e-3
    series = series * u + 2.06390887954e-2
    series = series * u - 5.37397155531e-2
    series = series * u + 1.33314422036e-1
    series = series * u - 3.33332819422e-1
    return tl.where(size < 0.625, series * u * x + x, tl.where(x < 0, -far, far))


@triton.jit
def clip_tile(scores, clip, soft_clip, CLIPPED: tl.constexpr, SOFT: tl.constexpr):
    """Clip scores by comparisons, since the minimum and maximum of the hardware drop NaN."""
    if SOFT:
        scores = soft_clip * tanh(scores / soft_clip)
    if CLIPPED:
        scores = tl.where(scores > clip, clip, tl.where(scores < -clip, -clip, scores))
    return scores


@triton.jit
def absorb_tile(scores, admissible, peak, total, REDUCTION: tl.constexpr):
    """Add a tile of clipped scores to each query's running sum; for a log-sum-exp the sum is relative to ``peak``."""
    if REDUCTION == "softplus":
        terms = tl.maximum(scores, 0.0) + log1p(tl.exp(-tl.abs(scores)))
        total += tl.sum(tl.where(admissible, terms, 0.0), 1)
    elif REDUCTION == "sum":
        total += tl.sum(tl.where(admissible, scores, 0.0), 1)
    elif REDUCTION == "square_sum":
        total += tl.sum(tl.where(admissible, scores * scores, 0.0), 1)
    elif REDUCTION == "pearson":
        total += tl.sum(tl.where(admissible, scores + 0.25 * scores * scores, 0.0), 1)
    else:
        scores = tl.where(admissible, scores, float("-inf"))
        higher = tl.maximum(peak, tl.max(scores, 1))
        total = total * tl.exp(peak - higher) + tl.sum(tl.exp(scores - higher[:, None]), 1)
        peak = higher
    return peak, total


@triton.jit
def slope_tile(
    scores, admissible, value, clip, soft_clip,
    REDUCTION: tl.constexpr, CLIPPED: tl.constexpr, SOFT: tl.constexpr,
):  # fmt: skip
    """Return the derivatives ``(BM, BK)`` of each query's reduction by its scores; zero if excluded or clipped."""
    if SOFT:
        bent = tanh(scores / soft_clip)
        scores = soft_clip * bent
    if CLIPPED:
        admissible = admissible & (tl.abs(scores) <= clip)
    if REDUCTION == "softplus":
        decay = tl.exp(-tl.abs(scores))
        slope = tl.where(scores >= 0, 1.0, decay) / (1.0 + decay)
    elif REDUCTION == "sum":
        slope = tl.full(scores.shape, 1.0, dtype=tl.float32)
    elif REDUCTION == "square_sum":
        slope = 2.0 * scores
    elif REDUCTION == "pearson":
        slope = 1.0 + 0.5 * scores
    else:
        # Up to rounding, an admissible score is at most the log-sum-exp. The bound keeps exp finite for all others.
        excess = scores - value[:, None]
        slope = tl.exp(tl.where(excess > 1.0, 1.0, excess))
    if SOFT:
        slope *= 1.0 - bent * bent
    return tl.where(admissible, slope, 0.0)
