"""Registration of the op for both sides of a table with torch. Only the chunked backend implements it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infomax._precision import accumulation_dtype, without_autocast
from infomax.ops.chunked import both_ways
from infomax.ops.library import OPTIONS, TENSORS, define, library, refuse_second_derivative
from infomax.ops.problem import Problem
from infomax.ops.validation import check_joint_values

__all__ = ["pairwise_both_ways"]

_PROBLEM = f"{TENSORS}, {OPTIONS}"

define("infomax::pairwise_both_ways", f"({_PROBLEM}, bool keep) -> (Tensor, Tensor, Tensor, Tensor)")
define(
    "infomax::pairwise_both_ways_backward",
    "(Tensor? grad_value, Tensor? grad_key_value, Tensor? grad_joint, Tensor value, Tensor key_value, Tensor saved, "
    f"{_PROBLEM}, bool need_query, bool need_key) -> (Tensor, Tensor)",
)
pairwise_both_ways = torch.ops.infomax.pairwise_both_ways.default
_backward_op = torch.ops.infomax.pairwise_both_ways_backward.default


def _problem(inputs: tuple[Any, ...]) -> Problem:
    query, key, query_group, key_group, joint_query, joint_key, *options = inputs[:10]
    return Problem(query, key, query_group, key_group, joint_query, joint_key, "logsumexp", *options)


def _forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both log-sum-exps, ``(M,)`` and ``(K,)``, the joint scores ``(J,)`` and what is saved for backward."""
    query, key, _, _, joint_query, joint_key = inputs[:6]
    if joint_query is not None and joint_key is not None and query.device.type == "cpu":
        check_joint_values(query, key, joint_query, joint_key)
    with without_autocast(query.device):  # autocast has cast the inputs, and must not cast the sums
        return both_ways.forward(_problem(inputs), inputs[-1])


def _forward_fake(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    query, key, joint_key, keep = inputs[0], inputs[1], inputs[5], inputs[-1]
    rows, keys, joints = query.shape[0], key.shape[0], 0 if joint_key is None else joint_key.shape[0]
    sizes = (rows, keys, joints, rows * keys if keep else 0)
    of_queries, of_keys, joint, saved = (
        query.new_empty((size,), dtype=accumulation_dtype(query.dtype)) for size in sizes
    )
    return of_queries, of_keys, joint, saved


def _backward(*inputs: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed."""
    problem = _problem(inputs[6:])
    with without_autocast(problem.query.device):
        return both_ways.backward(problem, *inputs[:6], *inputs[-2:])


def _backward_fake(*inputs: Any) -> tuple[Tensor, Tensor]:
    query, key, need_query, need_key = inputs[6], inputs[7], *inputs[-2:]
    return (
        query.new_empty(query.shape if need_query else (0,)),
        key.new_empty(key.shape if need_key else (0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    value, key_value, _, saved = output
    ctx.save_for_backward(*inputs[:6], value, key_value, saved)
    ctx.options = inputs[6:10]
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    *tensors, value, key_value, saved = ctx.saved_tensors
    need_query, need_key = ctx.needs_input_grad[:2]
    grad_query, grad_key = _backward_op(
        *grads[:3], value, key_value, saved, *tensors, *ctx.options, need_query, need_key
    )
    return (grad_query if need_query else None, grad_key if need_key else None, *(None,) * 9)


torch.library.impl("infomax::pairwise_both_ways", "CompositeExplicitAutograd", _forward, lib=library)
torch.library.impl("infomax::pairwise_both_ways_backward", "CompositeExplicitAutograd", _backward, lib=library)
torch.library.register_fake("infomax::pairwise_both_ways", _forward_fake, lib=library)
torch.library.register_fake("infomax::pairwise_both_ways_backward", _backward_fake, lib=library)
torch.library.register_autograd(
    "infomax::pairwise_both_ways", _differentiate, setup_context=_setup_context, lib=library
)
torch.library.register_autograd("infomax::pairwise_both_ways_backward", refuse_second_derivative, lib=library)
