"""The forward and the backward pass: the order of matrix products and of the kernels between them."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infomax.ops.blockwise.kernels import (
    add_joint_kernel,
    read_joint_kernel,
    reduce_block_kernel,
    weigh_block_kernel,
    weigh_kernel,
)
from infomax.ops.blockwise.plan import KEY_TILE, MOST_ROWS_OF_GRID, ROW_TILE, Plan, kept_size, padded, slices
from infomax.ops.blockwise.products import product
from infomax.ops.lift import lift_of
from infomax.ops.problem import Problem, addressable
from infomax.ops.triton import launch
from infomax.ops.triton.arguments import bounds_of, cover, flags_of, groups_of, run_starts
from infomax.ops.triton.config import tiles_for

__all__ = ["backward", "forward", "score_and_weigh"]

# The initial peak. It is finite, so that the -inf of an excluded score minus the peak is -inf and not NaN.
_LOWEST = -3.0e38


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and, with ``keep``, the data of a `_Kept`.

    In half precision, the kernel that computes scores also reduces them: with tensor cores, writing and reading the
    scores would take longer than their product.
    """
    if problem.query.dtype != torch.float32:
        return launch.forward(problem, keep)
    plan, query, key = Plan.of(problem), problem.query, problem.key
    queries, keys = query.shape[0], key.shape[0]
    peaks = query.new_full((plan.parts, queries), _LOWEST, dtype=torch.float32)
    totals = torch.zeros_like(peaks)
    saved = query.new_empty(kept_size(queries, keys, problem.reduction) if keep else 0)
    kept = _Kept.of(problem, saved, fresh=True)
    joint = query.new_empty(problem.joints, dtype=torch.float32)
    starts = _starts(problem)
    buffer = _Buffer(query, torch.float32)
    for rows in plan.rows:
        for part in plan.blocks(slice(0, keys)):
            scores = buffer.view(_length(rows), _length(part))
            product(query[rows], key[part].T, scores)
            _reduce(problem, plan, scores, rows, part, peaks[:, rows], totals[:, rows], kept)
            if starts is not None:
                read_joint_kernel[(cover(_length(part), KEY_TILE),)](
                    scores, problem.joint_query, starts[part.start :], joint, rows.start, *scores.shape,
                    scores.stride(0), problem.scale, BJ=KEY_TILE,
                )  # fmt: skip
    if problem.reduction != "logsumexp":
        return totals.sum(0), joint, saved
    value = torch.where(totals == 0, -torch.inf, peaks + totals.log())
    return value.logsumexp(0), joint, saved


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
    plan, query, key = Plan.of(problem), problem.query, problem.key
    grad_key = key.new_empty(key.shape if need_key else (0,))
    wide = torch.empty_like(query, dtype=torch.float32, memory_format=torch.contiguous_format) if need_query else None
    kept = _Kept.of(problem, saved)
    # The derivative of a score by its rows contains the scale, which is multiplied into the incoming gradients here.
    grad_value, grad_joint = (None if grad is None else grad * problem.scale for grad in (grad_value, grad_joint))
    lift = lift_of(query.dtype, grad_value, grad_joint)
    if lift is not None:
        grad_value, grad_joint = (None if grad is None else grad * lift for grad in (grad_value, grad_joint))
    starts = None if grad_joint is None else _starts(problem)
    scores, panels, results = _Buffer(query, torch.float32), _Buffer(query, query.dtype), _Buffer(key, torch.float32)
    if not plan.panels and wide is not None:
        wide.zero_()
    for panel in plan.panels:
        length = _length(panel)
        weights = panels.view(query.shape[0], padded(length))[:, :length]
        if grad_value is None:
            weights.zero_()
        elif kept is not None:
            for rows in slices(0, len(query), MOST_ROWS_OF_GRID):
                _weigh(problem, kept.slopes[rows, panel], rows, panel, value, grad_value, weights[rows], kept)
        elif query.dtype != torch.float32:
            score_and_weigh(problem, panel, value, grad_value, weights)
        else:
            for rows in plan.rows:
                for part in plan.blocks(panel):
                    block = scores.view(_length(rows), _length(part))
                    product(query[rows], key[part].T, block)
                    target = weights[rows, part.start - panel.start : part.stop - panel.start]
                    _weigh(problem, block, rows, part, value, grad_value, target, None)
        if starts is not None and grad_joint is not None:
            add_joint_kernel[(cover(length, KEY_TILE),)](
                weights, problem.joint_query, starts[panel.start :], grad_joint, *weights.shape, weights.stride(0),
                BJ=KEY_TILE,
            )  # fmt: skip
        if need_key:
            _finish(grad_key, panel, weights.T, query, lift, plan, results)
        if wide is not None:
            _add(wide, weights, key[panel], plan, results, first=panel.start == 0)
    if wide is None:
        return query.new_empty(0), grad_key
    if lift is not None:
        wide.div_(lift)
    return wide.to(query.dtype), grad_key


def _finish(
    grad_key: Tensor, panel: slice, weights: Tensor, query: Tensor, lift: Tensor | None, plan: Plan, results: _Buffer
) -> None:
    """Write the gradient of a panel of keys; half precision is summed in float32, in chunks, and rounded once."""
    if grad_key.dtype == torch.float32:
        product(weights, query, grad_key[panel])
        return
    for part in plan.chunks(panel):
        wide = results.view(_length(part), query.shape[1])
        product(weights[part.start - panel.start : part.stop - panel.start], query, wide)
        if lift is not None:
            wide.div_(lift)
        grad_key[part] = wide


def _add(wide: Tensor, weights: Tensor, keys: Tensor, plan: Plan, results: _Buffer, *, first: bool) -> None:
    """Add a panel's part to the queries' gradient. torch cannot add half-precision products to a float32 tensor."""
    if first:
        product(weights, keys, wide)
    elif keys.dtype == torch.float32:
        torch.addmm(wide, weights, keys, out=wide)
    else:
        for rows in plan.chunks(slice(0, len(wide))):
            result = results.view(_length(rows), wide.shape[1])
            product(weights[rows], keys, result)
            wide[rows] += result


def _reduce(
    problem: Problem, plan: Plan, scores: Tensor, rows: slice, part: slice, peaks: Tensor, totals: Tensor,
    kept: _Kept | None,
) -> None:  # fmt: skip
    length = cover(cover(_length(part), plan.parts), KEY_TILE) * KEY_TILE
    slopes = None if kept is None else kept.slopes[rows, part]
    references = None if kept is None else kept.of_block(rows, part)
    reduce_block_kernel[(cover(_length(rows), ROW_TILE), plan.parts)](
        scores, *_groups(problem, rows, part), peaks, totals, slopes, references, *scores.shape, length,
        scores.stride(0), peaks.stride(0), 0 if slopes is None else slopes.stride(0),
        0 if references is None else references.stride(0), problem.scale, *bounds_of(problem), **_flags(problem),
        KEEP=kept is not None,
    )  # fmt: skip


def _weigh(
    problem: Problem, source: Tensor, rows: slice, part: slice, value: Tensor, grad: Tensor, weights: Tensor,
    kept: _Kept | None,
) -> None:  # fmt: skip
    references = None if kept is None else kept.of_block(rows, part)
    weigh_block_kernel[(cover(_length(part), KEY_TILE), cover(_length(rows), ROW_TILE))](
        source, *_groups(problem, rows, part), value[rows], grad[rows], references, weights, *source.shape,
        source.stride(0), weights.stride(0), 0 if references is None else references.stride(0), problem.scale,
        *bounds_of(problem), **_flags(problem), KEPT=kept is not None,
    )  # fmt: skip


def score_and_weigh(problem: Problem, panel: slice, value: Tensor, grad: Tensor, weights: Tensor) -> None:
    """Compute the scores of a panel and write their weights, in one kernel."""
    query, key = addressable(problem.query), addressable(problem.key[panel])
    dim = query.shape[1]
    tiles = tiles_for("weigh", query.dtype, dim)
    weigh_kernel[(cover(len(query), tiles.rows) * cover(len(key), tiles.keys),)](
        query, key, *_groups(problem, slice(0, len(query)), panel), value, grad.contiguous(), weights,
        *weights.shape, dim, *query.stride(), *key.stride(), weights.stride(0), problem.scale, *bounds_of(problem),
        **flags_of(problem), PRECISION=launch.precision(query), **tiles.options(dim),
    )  # fmt: skip


@dataclass(frozen=True)
class _Kept:
    """What the forward pass saved: slopes and, for a log-sum-exp, the references to which they are relative.

    Attributes:
        slopes: ``(M, K)``, with aligned rows.
        references: ``(key tiles, M)`` for a log-sum-exp, else None.
    """

    slopes: Tensor
    references: Tensor | None

    @classmethod
    def of(cls, problem: Problem, saved: Tensor, fresh: bool = False) -> _Kept | None:
        """Return views of the saved tensor, or None if it is empty; ``fresh``: it is not filled yet."""
        if not saved.numel():
            return None
        rows, keys = problem.query.shape[0], problem.key.shape[0]
        length = rows * padded(keys)
        slopes = saved[:length].view(rows, padded(keys))
        references = saved[length:].view(-1, rows) if problem.reduction == "logsumexp" else None
        if fresh:
            slopes[:, keys:] = 0  # no tile writes this padding, and the outputs of an op must repeat bitwise
        return cls(slopes[:, :keys], references)

    def of_block(self, rows: slice, part: slice) -> Tensor | None:
        """Return the references of a block, ``(tiles, rows)``. Every block starts at the start of a tile."""
        return None if self.references is None else self.references[part.start // KEY_TILE :, rows]


class _Buffer:
    """Memory for one tensor at a time, which grows to the largest size needed."""

    def __init__(self, like: Tensor, dtype: torch.dtype) -> None:
        self._memory = like.new_empty(0, dtype=dtype)

    def view(self, rows: int, columns: int) -> Tensor:
        """Return an uninitialised contiguous matrix, which overwrites the previous one."""
        if self._memory.numel() < rows * columns:
            self._memory = self._memory.new_empty(rows * columns)
        return self._memory[: rows * columns].view(rows, columns)


def _starts(problem: Problem) -> Tensor | None:
    """Return where the run of joint pairs of each key starts and where the last run ends, ``(K + 1,)``."""
    if not problem.joints or problem.joint_key is None:
        return None
    return run_starts(problem.joint_key, problem.key.shape[0])


def _groups(problem: Problem, rows: slice, part: slice) -> tuple[Tensor | None, Tensor | None]:
    query_group, key_group = groups_of(problem)
    return None if query_group is None else query_group[rows], None if key_group is None else key_group[part]


def _flags(problem: Problem) -> dict[str, Any]:
    return {**flags_of(problem), "BM": ROW_TILE, "BK": KEY_TILE}


def _length(part: slice) -> int:
    return int(part.stop - part.start)
