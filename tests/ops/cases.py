"""Problems for the pairwise ops, plain torch's solution, and a judge that allows about twice plain torch's error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ops.oracle import Expected
from ops.oracle import pairwise as exact
from torch import Tensor

from infomax.ops import pairwise_with_joint

Op = Callable[..., tuple[Tensor, Tensor]]

# Error allowed beyond twice that of plain torch, relative to the largest magnitude: a few roundings of the result.
FLOOR = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}


@dataclass
class Case:
    """A problem for a pairwise op, with the gradients of its outputs."""

    reduction: str
    query: Tensor
    key: Tensor
    query_group: Tensor | None
    key_group: Tensor | None
    joint_query: Tensor
    joint_key: Tensor
    scale: float
    clip: float | None
    soft_clip: float | None
    grad_value: Tensor
    grad_joint: Tensor

    @property
    def options(self) -> dict[str, Any]:
        return {"scale": self.scale, "clip": self.clip, "soft_clip": self.soft_clip}

    def tensors(self) -> tuple[Tensor | None, ...]:
        return (self.query_group, self.key_group, self.joint_query, self.joint_key)

    def to(self, dtype: torch.dtype) -> Case:
        return replace(self, query=self.query.to(dtype), key=self.key.to(dtype))


def make(
    reduction: str = "logsumexp",
    sizes: tuple[int, int, int] = (7, 33, 5),
    *,
    groups: str = "runs",
    dtype: torch.dtype = torch.float64,
    scale: float = 0.7,
    clip: float | None = None,
    soft_clip: float | None = None,
    seed: int = 0,
    magnitude: float = 1.0,
) -> Case:
    """Build a problem of sizes (M, K, d); groups are ``"none"``, ``"runs"``, ``"ragged"`` or ``"shuffled"``."""
    queries, keys, dim = sizes
    random = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    def pick(top: int, count: int) -> Tensor:
        return torch.randint(top, (count,), generator=random)

    query_group: Tensor | None = torch.arange(queries)
    key_group: Tensor | None = torch.arange(keys) * queries // max(1, keys)
    if groups == "none":
        query_group = key_group = None
    elif groups in ("ragged", "shuffled"):
        query_group, key_group = pick(5, queries), pick(6, keys)
        if groups == "ragged":
            query_group, key_group = query_group.sort().values, key_group.sort().values
    pairs = 2 * keys if queries else 0
    joint_key, joint_query = pick(max(1, keys), pairs).sort().values, pick(max(1, queries), pairs)
    return Case(
        reduction, (magnitude * randn(queries, dim)).to(dtype), randn(keys, dim).to(dtype), query_group, key_group,
        joint_query, joint_key, scale, clip, soft_clip, randn(queries), randn(pairs),
    )  # fmt: skip


def solve(case: Case, op: Op = pairwise_with_joint) -> Expected:
    """Run an op on a case, forward and backward, and return its results as float64 arrays."""
    query, key = case.query.detach().requires_grad_(), case.key.detach().requires_grad_()
    value, joint = op(case.reduction, query, key, *case.tensors(), **case.options)
    grads = [case.grad_value.to(value.dtype), case.grad_joint.to(joint.dtype)]
    grad_query, grad_key = torch.autograd.grad([value, joint], [query, key], grads)
    assert grad_query.dtype == query.dtype
    assert grad_key.dtype == key.dtype
    return Expected(*(tensor.detach().double().numpy() for tensor in (value, joint, grad_query, grad_key)))


def expect(case: Case) -> Expected:
    """Solve a case pair by pair in double precision, from its inputs after rounding to their dtype."""
    arrays = [None if tensor is None else tensor.numpy() for tensor in case.tensors()]
    return exact(
        case.reduction, case.query.double().numpy(), case.key.double().numpy(), *arrays, **case.options,
        grad_value=case.grad_value.numpy(), grad_joint=case.grad_joint.numpy(),
    )  # fmt: skip


def plain(
    reduction: str,
    query: Tensor,
    key: Tensor,
    query_group: Tensor | None,
    key_group: Tensor | None,
    joint_query: Tensor,
    joint_key: Tensor,
    *,
    scale: float,
    clip: float | None,
    soft_clip: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the formula directly in torch, in the dtype of the inputs."""
    scores = scale * (query @ key.T)
    joint = scores[joint_query, joint_key]
    if soft_clip is not None:
        scores = soft_clip * torch.tanh(scores / soft_clip)
    if clip is not None:
        scores = scores.clamp(-clip, clip)
    if query_group is not None and key_group is not None:
        scores = scores.masked_fill(query_group[:, None] == key_group, -torch.inf)
    if reduction == "logsumexp":
        return scores.logsumexp(1), joint
    excluded = scores == -torch.inf
    terms = {
        "softplus": torch.nn.functional.softplus,
        "sum": torch.clone,
        "square_sum": torch.square,
        "pearson": lambda t: t + t.square() / 4,
    }[reduction](scores)
    value = terms.masked_fill(excluded, 0.0).sum(1)
    return value, joint


def judge(actual: Expected, expected: Expected, allowed: Expected | None, dtype: torch.dtype) -> None:
    """Raise unless each error is at most twice that of ``allowed``, plus the floor of the dtype."""
    for name in ("value", "joint", "grad_query", "grad_key"):
        ours, right = getattr(actual, name), getattr(expected, name)
        finite = np.isfinite(right)
        if not np.array_equal(ours[~finite], right[~finite]):
            raise AssertionError(f"{name}: {ours[~finite]} where {right[~finite]} was expected")
        size = max(1.0, float(np.abs(right[finite]).max(initial=0.0)))
        limit = FLOOR[dtype] * size
        if allowed is not None:
            theirs = np.abs(getattr(allowed, name)[finite] - right[finite])
            limit += 2 * float(theirs[np.isfinite(theirs)].max(initial=0.0))
        off = float(np.abs(ours[finite] - right[finite]).max(initial=0.0))
        if not off <= limit:
            raise AssertionError(f"{name} is off by {off:.3g}, allowed {limit:.3g}")
