"""Registration of the ops with torch: schemas, fake implementations for tracing, and gradients.

Both ops take the name of the backend as an argument, so that a trace keeps the backend chosen when it was recorded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infomax._precision import accumulation_dtype, without_autocast
from infomax.ops import dispatch
from infomax.ops.problem import Problem
from infomax.ops.validation import check_joint_values

__all__ = ["OPTIONS", "TENSORS", "define", "library", "pairwise", "refuse_second_derivative"]

_TAGS = (torch.Tag.pt2_compliant_tag,)
TENSORS = "Tensor query, Tensor key, Tensor? query_group, Tensor? key_group, Tensor? joint_query, Tensor? joint_key"
"""The tensors of a problem in a schema; its other arguments are in `OPTIONS`."""
OPTIONS = "float scale, float? clip, float? soft_clip, int workspace"
_PROBLEM = f"{TENSORS}, str reduction, {OPTIONS}"

library = torch.library.Library("infomax", "DEF")  # type: ignore[no-untyped-call]


def define(name: str, schema: str) -> None:
    """Declare an op, without `torch.library.custom_op`, whose first call would import the compiler and Triton."""
    torch.library.define(name, schema, lib=library, tags=_TAGS)


define("infomax::pairwise", f"({_PROBLEM}, str backend, bool keep) -> (Tensor, Tensor, Tensor)")
define(
    "infomax::pairwise_backward",
    "(Tensor? grad_value, Tensor? grad_joint, Tensor value, Tensor saved, "
    f"{_PROBLEM}, str backend, bool need_query, bool need_key) -> (Tensor, Tensor)",
)
pairwise = torch.ops.infomax.pairwise.default
pairwise_backward = torch.ops.infomax.pairwise_backward.default


def _pairwise(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    reduction: str,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
    workspace: int,
    backend: str,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and what the backend saves for backward."""
    if joint_query is not None and joint_key is not None and query.device.type == "cpu":
        check_joint_values(query, key, joint_query, joint_key)
    problem = Problem(
        query, key, query_group, key_group, joint_query, joint_key, reduction, scale, clip, soft_clip, workspace
    )
    with without_autocast(query.device):  # autocast has cast the inputs, and must not cast the sums
        return dispatch.implementation(backend).forward(problem, keep)


def _pairwise_fake(
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    reduction: str,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
    workspace: int,
    backend: str,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = accumulation_dtype(query.dtype)
    rows = query.shape[0]
    joints = 0 if joint_key is None else joint_key.shape[0]
    return (
        query.new_empty((rows,), dtype=dtype),
        query.new_empty((joints,), dtype=dtype),
        query.new_empty((dispatch.saved_size(backend, query, key, reduction) if keep else 0,), dtype=dtype),
    )


def _pairwise_backward(
    grad_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    saved: Tensor,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    reduction: str,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
    workspace: int,
    backend: str,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed."""
    problem = Problem(
        query, key, query_group, key_group, joint_query, joint_key, reduction, scale, clip, soft_clip, workspace
    )
    run = dispatch.implementation(backend).backward
    with without_autocast(query.device):  # autocast has cast the inputs, and must not cast the sums
        return run(problem, grad_value, grad_joint, value, saved, need_query, need_key)


def _pairwise_backward_fake(
    grad_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    saved: Tensor,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor | None,
    joint_key: Tensor | None,
    reduction: str,
    scale: float,
    clip: float | None,
    soft_clip: float | None,
    workspace: int,
    backend: str,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    return (
        query.new_empty(query.shape if need_query else (0,)),
        key.new_empty(key.shape if need_key else (0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    value, _, saved = output
    ctx.save_for_backward(*inputs[:6], value, saved)
    ctx.options = inputs[6:12]
    ctx.mark_non_differentiable(saved)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad_value: Tensor | None, grad_joint: Tensor | None, _: None) -> tuple[Any, ...]:
    *tensors, value, saved = ctx.saved_tensors
    *options, backend = ctx.options
    need_query, need_key = ctx.needs_input_grad[:2]
    if backend in ("reference", "pairs") and torch.is_grad_enabled():
        # Call the backend without the op: its operations are differentiable, so second derivatives exist.
        problem = Problem(*tensors, *options)
        with without_autocast(problem.query.device):
            run = dispatch.implementation(backend).backward
            grads = run(problem, grad_value, grad_joint, value, saved, need_query, need_key)
    else:
        grads = pairwise_backward(
            grad_value, grad_joint, value, saved, *tensors, *options, backend, need_query, need_key
        )
    grad_query, grad_key = grads
    return (grad_query if need_query else None, grad_key if need_key else None, *(None,) * 11)


def refuse_second_derivative(ctx: Any, *grads: Tensor | None) -> None:
    """Raise an error that names the backend with second derivatives."""
    raise RuntimeError(
        "infomax.ops: only the reference backend has a second derivative. Run the forward pass under "
        'infomax.ops.use_backend("reference"), which holds the whole table of scores and has one.'
    )


torch.library.impl("infomax::pairwise", "CompositeExplicitAutograd", _pairwise, lib=library)
torch.library.impl("infomax::pairwise_backward", "CompositeExplicitAutograd", _pairwise_backward, lib=library)
torch.library.register_fake("infomax::pairwise", _pairwise_fake, lib=library)
torch.library.register_fake("infomax::pairwise_backward", _pairwise_backward_fake, lib=library)
torch.library.register_autograd("infomax::pairwise", _differentiate, setup_context=_setup_context, lib=library)
torch.library.register_autograd("infomax::pairwise_backward", refuse_second_derivative, lib=library)
