"""The forward pass: one matrix product in blocks, each of which is reduced while it is in cache."""

from __future__ import annotations

from math import isfinite

from torch import Tensor

from infomax.ops.chunked.blocks import Blocks
from infomax.ops.chunked.clipping import Clipping
from infomax.ops.chunked.exclusion import Exclusion
from infomax.ops.chunked.joint import JointPairs
from infomax.ops.chunked.pages import new_empty
from infomax.ops.chunked.plan import LEAST_KEYS, Plan, kept_size
from infomax.ops.chunked.products import scores_into
from infomax.ops.chunked.reductions import reduction_of
from infomax.ops.problem import Problem

__all__ = ["forward", "split_kept"]


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and, with ``keep``, the data for `split_kept`."""
    plan = Plan.of(problem, keep)
    reduction_type = reduction_of(problem.reduction)
    clipping = Clipping(problem, reduction_type.unit)
    blocks = Blocks(problem, plan, clipping.unit)
    exclusion = Exclusion(problem, plan.keys)
    pairs = JointPairs(problem, plan.keys)
    queries, keys = problem.query.shape[0], problem.keys
    value = problem.query.new_empty(queries, dtype=problem.dtype)
    joint = value.new_empty(problem.joints)
    kept = new_empty(value, (kept_size(queries, keys) if keep else 0,), value.dtype)
    table, references = split_kept(kept, queries, keys) if keep else (None, None)
    if references is not None:
        references.zero_()  # some blocks have no reference, and saved tensors must repeat bitwise
    excluded = reduction_type.excluded
    for rows in plan.rows:
        scaled = blocks.queries(rows)
        reduction = reduction_type(value[rows])
        for index, part in enumerate(plan.keys):
            size = (part.stop - part.start, rows.stop - rows.start)
            block = blocks.scores("scores", *size) if table is None else table[part]
            absorbed = False
            while not absorbed:
                scores_into(block, blocks.keys(part), scaled)
                pairs.read(joint, block, index, part, rows)
                clipping.apply(block, blocks, keep)
                exclusion.fill(block, index, part, rows, excluded)
                absorbed = reduction.absorb(block, blocks, keep)
            if keep:
                clipping.to_slopes(block)
                if isfinite(excluded) or not clipping.keeps_zeros:
                    exclusion.fill(block, index, part, rows, 0.0)
            if references is not None and reduction.reference is not None:
                references[index] = reduction.reference
        value[rows] = reduction.value()
    return value, joint.mul_(clipping.unit), kept


def split_kept(kept: Tensor, queries: int, keys: int) -> tuple[Tensor, Tensor]:
    """Return views of the kept slopes ``(K, M)`` and of their references ``(blocks, M)``.

    Slopes are correct up to one factor per query and block of keys. The reduction computes the factors of a block from
    its row of references.
    """
    count = (keys + LEAST_KEYS - 1) // LEAST_KEYS
    table, references = kept[: keys * queries], kept[keys * queries :]
    return table.view(keys, queries), references.view(count, queries)
