"""The dense backend, which follows the definition. It is for tests, tiny inputs and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

from infomax.ops.problem import Problem

__all__ = ["backward", "forward"]

# Above this, softplus(x) = x to the last bit of a float64.
_LINEAR_ABOVE = 40.0

# The terms of the reductions that are sums, and the derivatives of these terms.
_TERMS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": partial(softplus, threshold=_LINEAR_ABOVE),
    "sum": torch.clone,
    "square_sum": torch.square,
    "pearson": lambda scores: scores + 0.25 * scores.square(),
}
_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": torch.sigmoid,
    "sum": torch.ones_like,
    "square_sum": partial(torch.mul, other=2.0),
    "pearson": lambda scores: 1.0 + 0.5 * scores,
}


def _scores(problem: Problem) -> Tensor:
    query, key = problem.query.to(problem.dtype), problem.key.to(problem.dtype)
    return problem.scale * (query @ key.T)


def _bent(problem: Problem, scores: Tensor) -> Tensor:
    """Return the scores after the soft clip."""
    bound = problem.soft_clip
    return scores if bound is None else bound * (scores / bound).tanh()


def _admissible(problem: Problem) -> Tensor | None:
    if problem.query_group is None or problem.key_group is None:
        return None
    return problem.query_group[:, None] != problem.key_group[None, :]


def forward(problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduction ``(M,)``, the joint scores ``(J,)`` and an empty tensor: nothing is kept."""
    scores = _scores(problem)
    if problem.joint_query is None or problem.joint_key is None:
        joint = scores.new_empty(0)
    else:
        joint = scores[problem.joint_query, problem.joint_key]
    scores = _bent(problem, scores)
    if problem.clip is not None:
        scores = scores.clamp(-problem.clip, problem.clip)
    admissible = _admissible(problem)
    if problem.reduction == "logsumexp":
        if admissible is not None:
            scores = scores.masked_fill(~admissible, -torch.inf)
        value = scores.logsumexp(1)
    else:
        terms = _TERMS[problem.reduction](scores)
        value = (terms if admissible is None else terms.masked_fill(~admissible, 0.0)).sum(1)
    return value, joint, scores.new_empty(0)


def backward(
    problem: Problem,
    grad_value: Tensor | None,
    grad_joint: Tensor | None,
    value: Tensor,
    saved: Tensor,
    need_query: bool,
    need_key: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and key, or an empty tensor for one that is not needed.

    This function consists of differentiable operations on query, key and the incoming gradients, so that autograd
    computes the second derivative.
    """
    scores = _scores(problem)
    grad = torch.zeros_like(scores)
    if grad_value is not None:
        grad = grad + grad_value[:, None] * _slope(problem, scores)
    if grad_joint is not None and problem.joint_query is not None and problem.joint_key is not None:
        grad = grad.index_put((problem.joint_query, problem.joint_key), grad_joint, accumulate=True)
    grad = problem.scale * grad
    query, key = problem.query, problem.key
    empty = query.new_empty(0)
    grad_query = (grad @ key.to(grad.dtype)).to(query.dtype) if need_query else empty
    grad_key = (grad.T @ query.to(grad.dtype)).to(key.dtype) if need_key else empty
    return grad_query, grad_key


def _slope(problem: Problem, scores: Tensor) -> Tensor:
    """Return the derivative of the reduction by each score, zero for excluded and clipped scores."""
    bent = _bent(problem, scores)
    clipped = bent if problem.clip is None else bent.clamp(-problem.clip, problem.clip)
    admissible = _admissible(problem)
    if problem.reduction == "logsumexp":
        if admissible is not None:
            clipped = clipped.masked_fill(~admissible, -torch.inf)
        peak = clipped.detach().amax(1, keepdim=True) if clipped.shape[1] else clipped.new_zeros(len(clipped), 1)
        peak = peak.masked_fill(peak == -torch.inf, 0.0)
        weight = (clipped - peak).exp()
        total = weight.sum(1, keepdim=True)
        slope = weight / total.masked_fill(total == 0, 1.0)
    else:
        slope = _SLOPES[problem.reduction](clipped)
    if problem.soft_clip is not None:
        slope = slope * (1.0 - (bent / problem.soft_clip).square())
    if problem.clip is not None:
        slope = slope.masked_fill(bent.detach().abs() > problem.clip, 0.0)
    return slope if admissible is None else slope.masked_fill(~admissible, 0.0)
