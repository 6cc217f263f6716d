"""Values and gradients of every backend against loops in double precision."""

from __future__ import annotations

import pytest
import torch
from ops.cases import Case, expect, judge, make, plain, solve
from ops.conftest import KERNELS

from infomax.ops import use_backend, use_workspace
from infomax.ops.problem import REDUCTIONS

# Every kind of groups with one problem size, and special sizes with one kind of groups.
PROBLEMS = [
    *(((7, 33, 5), groups) for groups in ("none", "runs", "ragged", "shuffled")),
    *((sizes, "runs") for sizes in ((1, 1, 1), (18, 20, 17))),
]
HALVES = [torch.bfloat16, torch.float16]


def check(case: Case, dtype: torch.dtype) -> None:
    case = case.to(dtype)
    allowed = None if dtype == torch.float64 else solve(case, plain)
    judge(solve(case), expect(case), allowed, dtype)


@pytest.mark.parametrize(("sizes", "groups"), PROBLEMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_groups_and_sizes(backend: str, reduction: str, sizes: tuple[int, int, int], groups: str) -> None:
    dtype = torch.float32 if backend in KERNELS else torch.float64
    check(make(reduction, sizes, groups=groups), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dtypes(backend: str, reduction: str, dtype: torch.dtype) -> None:
    if backend in KERNELS and dtype == torch.float16 and reduction in ("square_sum", "pearson"):
        pytest.skip("refused, with the reason: see test_settings")
    check(make(reduction, (9, 40, 12), seed=1), dtype)


@pytest.mark.parametrize(("clip", "soft_clip"), [(0.9, None), (None, 0.8), (0.9, 1.1)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_clip(backend: str, reduction: str, clip: float | None, soft_clip: float | None) -> None:
    dtype = torch.float32 if backend in KERNELS else torch.float64
    case = make(reduction, clip=clip, soft_clip=soft_clip)
    scores = case.scale * case.query @ case.key.T
    bent = scores if soft_clip is None else soft_clip * (scores / soft_clip).tanh()
    assert clip is None or (bent.abs() > clip).any(), "a case in which nothing is clipped shows nothing"
    check(case, dtype)


@pytest.mark.parametrize(
    ("dtype", "groups", "clip", "soft_clip"),
    [
        *((torch.float64, groups, None, None) for groups in ("none", "runs", "shuffled")),
        *((torch.float64, groups, 0.8, 1.1) for groups in ("none", "shuffled")),
        (torch.bfloat16, "shuffled", None, None),  # no clip, because rounded scores would lie on its bound
    ],
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_many_blocks(
    reduction: str, dtype: torch.dtype, groups: str, clip: float | None, soft_clip: float | None
) -> None:
    """A workspace of 64 KiB splits both the queries and the keys."""
    case = make(reduction, (70, 300, 9), groups=groups, clip=clip, soft_clip=soft_clip, seed=2).to(dtype)
    dense = case.to(torch.float64)
    with use_backend("reference"):
        expected = solve(dense)
    allowed = None if dtype == torch.float64 else solve(case, plain)
    with use_workspace(2**16):
        judge(solve(case), expected, allowed, dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rows_that_are_not_contiguous(backend: str, reduction: str) -> None:
    dtype = torch.float32
    case = make(reduction, (6, 20, 8)).to(dtype)
    expected = solve(case)
    case.query = case.query.T.contiguous().T
    case.key = torch.stack([case.key, -case.key], 2).flatten(1)[:, ::2]
    assert not case.query.is_contiguous()
    assert not case.key.is_contiguous()
    judge(solve(case), expected, None, dtype)
    case.key = case.key[:1].expand(20, 8)
    judge(solve(case), expect(case), None, dtype)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_groups_of_any_integer_dtype(dtype: torch.dtype) -> None:
    case = make(groups="ragged").to(torch.float32)
    expected = solve(case)
    case.query_group, case.key_group = case.query_group.to(dtype), case.key_group.to(dtype)
    judge(solve(case), expected, None, torch.float32)


def test_the_public_reductions_are_the_two(backend: str) -> None:
    from infomax.ops import pairwise_logsumexp, pairwise_softplus, pairwise_with_joint

    case = make().to(torch.float32)
    query_group, key_group, *joint = case.tensors()
    for op, name in ((pairwise_logsumexp, "logsumexp"), (pairwise_softplus, "softplus")):
        value = op(case.query, case.key, query_group, key_group, **case.options)
        both, _ = pairwise_with_joint(name, case.query, case.key, query_group, key_group, *joint, **case.options)
        assert torch.equal(value, both)
        assert value.dtype == torch.float32
