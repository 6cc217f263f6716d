"""Log-sum-exps along both sides of a table; the scores and the two products of backward are computed only once."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.ops.chunked.backward import gradients
from infomax.ops.chunked.blocks import Blocks
from infomax.ops.chunked.clipping import Clipping
from infomax.ops.chunked.exclusion import Exclusion
from infomax.ops.chunked.joint import JointPairs
from infomax.ops.chunked.pages import new_empty
from infomax.ops.chunked.plan import Plan
from infomax.ops.chunked.products import scores_into
from infomax.ops.chunked.reductions import LogSumExp, finite, in_range
from infomax.ops.problem import Problem

__all__ = ["backward", "forward"]


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the log-sum-exps of queries ``(M,)`` and of keys ``(K,)``, the joint scores, and kept scores ``(K M,)``.

    The kept table has scores, not slopes, because a slope belongs to the sum of one side. So the derivative of clipping
    cannot be kept, and clipped problems must be called without ``keep``.
    """
    plan = Plan.of(problem, keep)
    clipping = Clipping(problem, LogSumExp.unit)
    blocks = Blocks(problem, plan, clipping.unit)
    exclusion, pairs = Exclusion(problem, plan.keys), JointPairs(problem, plan.keys)
    queries, keys = problem.query.shape[0], problem.keys
    joint = problem.query.new_empty(problem.joints, dtype=problem.dtype)
    kept = new_empty(joint, (queries * keys if keep else 0,), joint.dtype)
    sums = _Sums(joint.new_empty(queries), joint.new_empty(keys))
    for rows in plan.rows:
        scaled = blocks.queries(rows)
        for index, part in enumerate(plan.keys):
            size = (part.stop - part.start, rows.stop - rows.start)
            block = kept.view(keys, queries)[part] if keep else blocks.scores("scores", *size)
            scores_into(block, blocks.keys(part), scaled)
            pairs.read(joint, block, index, part, rows)
            clipping.apply(block, blocks, False)
            exclusion.fill(block, index, part, rows, LogSumExp.excluded)
            sums.absorb(block, blocks.scores("spare", *size), rows, part)
    of_queries, of_keys = sums.values()
    return of_queries, of_keys, joint.mul_(clipping.unit), kept


def backward(
    problem: Problem,
    grad_value: Tensor | None,
    grad_key_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    key_value: Tensor,
    saved: Tensor,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed."""
    plan = Plan.of(problem, bool(saved.numel()))
    weights = _Weights(problem, plan, (grad_value, grad_key_value), grad_joint, (value, key_value), saved)
    return gradients(problem, weights, need_query, need_key)


class _Sums:
    """Running sums of powers of two along both sides, bare as long as possible, as in :class:`LogSumExp`."""

    def __init__(self, queries: Tensor, keys: Tensor) -> None:
        """Start from nothing absorbed."""
        lowest = torch.finfo(queries.dtype).min
        self._totals = queries.zero_(), keys.zero_()
        self._peaks = torch.full_like(queries, lowest), torch.full_like(keys, lowest)
        self._bare = queries.device.type == "cpu"

    def absorb(self, block: Tensor, spare: Tensor, rows: slice, part: slice) -> None:
        """Add a block of scores ``(B, M)`` without changing it."""
        if self._bare:
            powers = torch.exp2(block, out=spare)
            totals = powers.sum(0), powers.sum(1)
            self._bare = all(map(in_range, totals))
            if self._bare:
                for side, (where, total) in enumerate(zip((rows, part), totals, strict=True)):
                    self._totals[side][where] += total
                    self._peaks[side][where] = 0.0
                return
        for side, where in enumerate((rows, part)):
            before, total = self._peaks[side][where], self._totals[side][where]
            peak = torch.maximum(before, block.amax(side))
            powers = torch.sub(block, peak.unsqueeze(side), out=spare).exp2_()
            total.mul_(before.sub(peak).exp2_()).add_(powers.sum(side))
            before.copy_(peak)

    def values(self) -> tuple[Tensor, Tensor]:
        """Return both log-sum-exps in nats; ``-inf`` where every pair was excluded."""
        of_queries, of_keys = (
            total.log2_().add_(peak).mul_(LogSumExp.unit) for total, peak in zip(self._totals, self._peaks, strict=True)
        )
        return of_queries, of_keys


class _Weights:
    """Blocks of weights, as in `Weights`; each weight has a contribution from both sides' log-sum-exps."""

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        grads: tuple[Tensor | None, Tensor | None],
        grad_joint: Tensor | None,
        values: tuple[Tensor, Tensor],
        saved: Tensor,
    ) -> None:
        """Prepare; no scores are computed yet."""
        self.plan = plan
        self._clipping = Clipping(problem, LogSumExp.unit)
        unit = self._clipping.unit
        self.blocks = Blocks(problem, plan, unit)
        self._grads = [
            torch.zeros_like(value) if grad is None else grad * unit for grad, value in zip(grads, values, strict=True)
        ]
        self._values = [finite(value / LogSumExp.unit) for value in values]
        powers = [value.exp2() for value in self._values]
        self._bare = saved.device.type == "cpu" and all(map(in_range, powers))
        if self._bare:
            self._grads = [grad / power for grad, power in zip(self._grads, powers, strict=True)]
        self._grad_joint = None if grad_joint is None else grad_joint * unit
        self._kept = saved.view(problem.keys, -1) if saved.numel() else None
        self._exclusion = Exclusion(problem, plan.keys)
        self._pairs = None if grad_joint is None else JointPairs(problem, plan.keys)

    def block(self, index: int, rows: slice, keys: Tensor, queries: Tensor) -> Tensor:
        """Return the weights ``(B, M)`` of a block, with the arguments of `Weights.block`."""
        part = self.plan.keys[index]
        size = part.stop - part.start, queries.shape[0]
        block, spare = (self.blocks.scores(name, *size) for name in ("weights", "spare"))
        scores = block if self._kept is None else self._kept[part]
        if self._kept is None:
            scores_into(block, keys, queries)
            self._clipping.apply(block, self.blocks, True)
            self._exclusion.fill(block, index, part, rows, LogSumExp.excluded)
        of_queries, of_keys = self._grads[0][rows], self._grads[1][part, None]
        if self._bare:
            torch.exp2(scores, out=block).mul_(torch.add(of_keys, of_queries, out=spare))
        else:
            torch.sub(scores, self._values[0][rows], out=spare).exp2_().mul_(of_queries)
            torch.sub(scores, self._values[1][part, None], out=block).exp2_().mul_(of_keys).add_(spare)
        self._clipping.to_slopes(block)
        if not self._clipping.keeps_zeros:
            self._exclusion.fill(block, index, part, rows, 0.0)
        if self._pairs is not None and self._grad_joint is not None:
            self._pairs.add(self._grad_joint, block, index, part, rows)
        return block
