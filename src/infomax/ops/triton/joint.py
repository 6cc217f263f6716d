"""Joint pairs: their scores, and their contribution to the gradient of the rows that a program owns."""

# mypy: allow-untyped-decorators, disable-error-code="import-untyped, no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from infomax.ops.triton.tiles import load_rows, product

__all__ = ["PAIRS", "add_joint", "first_pair", "joint_kernel"]

PAIRS = 32
"""Number of pairs that a program processes at a time."""
_FAR: tl.constexpr = tl.constexpr(1024)


@triton.jit
def joint_kernel(
    query, key, joint_query, joint_key, joint,
    row_count, key_count, joint_count, dim, query_stride, query_step, key_stride, key_step, scale,
    BJ: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Program j computes the scores of the j-th tile of joint pairs."""
    pairs = tl.program_id(0) * BJ + tl.arange(0, BJ)
    rows = tl.load(joint_query + pairs, mask=pairs < joint_count, other=0)
    keys = tl.load(joint_key + pairs, mask=pairs < joint_count, other=0)
    total = tl.zeros((BJ,), dtype=tl.float32)
    for start in range(0, dim, BD):
        columns = start + tl.arange(0, BD)
        left = load_rows(query, rows, columns, row_count, dim, query_stride, query_step)
        right = load_rows(key, keys, columns, key_count, dim, key_stride, key_step)
        total += tl.sum(left.to(tl.float32) * right.to(tl.float32), 1)
    tl.store(joint + pairs, total * scale, mask=pairs < joint_count)


@triton.jit
def first_pair(joint_key, joint_count, key):
    """Return the first pair whose key is at least ``key``, by binary search, as pairs are sorted by key."""
    low = tl.program_id(0) * 0
    high = low + joint_count
    while low < high:
        middle = (low + high) // 2
        below = tl.load(joint_key + middle) < key
        low = tl.where(below, middle + 1, low)
        high = tl.where(below, high, middle)
    return low


@triton.jit
def add_joint(
    total, owned, lowest, size, owned_index, other, other_index, grad_joint, first, last,
    columns, other_count, dim, other_stride, other_step, BJ: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add ``grad_joint[j] * other[other_index[j]]`` to each owned row, over its pairs j in ``first:last``.

    A program owns the ``size`` rows from ``lowest`` on, which are in ``owned``. It skips stretches of pairs without an
    owned row.
    """
    for far in range(first, last, _FAR):
        stretch = far + tl.arange(0, _FAR)
        theirs = tl.load(owned_index + stretch, mask=stretch < last, other=-1)
        if tl.max(((theirs >= lowest) & (theirs < lowest + size)).to(tl.int32), 0) > 0:
            for start in range(far, tl.minimum(far + _FAR, last), BJ):
                pairs = start + tl.arange(0, BJ)
                listed = pairs < last
                mine = tl.load(owned_index + pairs, mask=listed, other=-1)
                if tl.max(((mine >= lowest) & (mine < lowest + size)).to(tl.int32), 0) > 0:
                    index = tl.load(other_index + pairs, mask=listed, other=other_count)
                    weight = tl.load(grad_joint + pairs, mask=listed, other=0.0)
                    vectors = load_rows(other, index, columns, other_count, dim, other_stride, other_step)
                    table = tl.where(owned[:, None] == mine[None, :], weight[None, :], 0.0)
                    total = product(table.to(vectors.dtype), vectors, total, PRECISION)
    return total
