"""One table reduced along both sides, compared with double-precision loops along each side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ops.cases import Case, Op, judge, make, plain
from ops.conftest import KERNELS
from ops.oracle import Expected
from ops.oracle import pairwise as exact
from torch import Tensor
from torch.library import opcheck

from benchmarks.memory import peak_bytes
from infomax.ops import pairwise_both_ways, pairwise_with_joint, use_backend, use_workspace


def grads_of_keys(case: Case) -> Tensor:
    return torch.randn(len(case.key), dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def expect(case: Case) -> Expected:
    query, key = case.query.double().numpy(), case.key.double().numpy()
    groups = [None if group is None else group.numpy() for group in (case.query_group, case.key_group)]
    joint = case.joint_query.numpy(), case.joint_key.numpy()
    there = exact(
        "logsumexp", query, key, *groups, *joint, **case.options,
        grad_value=case.grad_value.numpy(), grad_joint=case.grad_joint.numpy(),
    )  # fmt: skip
    back = exact("logsumexp", key, query, *groups[::-1], **case.options, grad_value=grads_of_keys(case).numpy())
    return Expected(
        np.concatenate([there.value, back.value]),
        there.joint,
        there.grad_query + back.grad_key,
        there.grad_key + back.grad_query,
    )


def solve(case: Case, op: Op | None = None) -> Expected:
    query, key = case.query.detach().requires_grad_(), case.key.detach().requires_grad_()
    if op is None:
        of_queries, of_keys, joint = pairwise_both_ways(query, key, *case.tensors(), **case.options)
    else:
        of_queries, joint = op("logsumexp", query, key, *case.tensors(), **case.options)
        turned = (case.key_group, case.query_group, case.joint_key[:0], case.joint_query[:0])
        of_keys, _ = op("logsumexp", key, query, *turned, **case.options)
    outputs = [of_queries, of_keys, joint]
    weights = [case.grad_value, grads_of_keys(case), case.grad_joint]
    given = [weight.to(output.dtype) for weight, output in zip(weights, outputs, strict=True)]
    grads = torch.autograd.grad(outputs, [query, key], given)
    assert [grad.dtype for grad in grads] == [query.dtype, key.dtype]
    found = (torch.cat(outputs[:2]), joint, *grads)
    return Expected(*(tensor.detach().double().numpy() for tensor in found))


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        *(((7, 33, 5), groups) for groups in ("none", "runs", "ragged", "shuffled")),
        *((sizes, "runs") for sizes in ((1, 1, 1), (18, 20, 17), (0, 4, 3), (4, 0, 3))),
    ],
)
def test_groups_and_sizes(backend: str, sizes: tuple[int, int, int], groups: str) -> None:
    dtype = torch.float32 if backend in KERNELS else torch.float64
    case = make(sizes=sizes, groups=groups).to(dtype)
    judge(solve(case), expect(case), solve(case, plain) if all(sizes) else None, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(dtype: torch.dtype) -> None:
    case = make(sizes=(9, 40, 12), seed=1).to(dtype)
    judge(solve(case), expect(case), solve(case, plain), dtype)


@pytest.mark.parametrize(("clip", "soft_clip"), [(0.9, None), (None, 0.8), (0.9, 1.1)])
def test_clip(clip: float | None, soft_clip: float | None) -> None:
    case = make(clip=clip, soft_clip=soft_clip)
    judge(solve(case), expect(case), None, torch.float64)


@pytest.mark.parametrize("groups", ["none", "runs", "shuffled"])
@pytest.mark.parametrize(
    ("scale", "clip", "soft_clip"),
    [(0.7, None, None), (40.0, None, None), (4000.0, None, None), (0.7, 0.8, 1.1), (40.0, 0.8, 1.1)],
)
def test_many_blocks(groups: str, scale: float, clip: float | None, soft_clip: float | None) -> None:
    """A workspace of 64 KiB splits both sides.

    Powers of large scores overflow, in the first block or in a later one.
    """
    case = make(sizes=(70, 300, 9), groups=groups, clip=clip, soft_clip=soft_clip, seed=2, scale=scale)
    late = replace(case, query=case.query * torch.linspace(0.0, 1.0, len(case.query), dtype=torch.float64)[:, None])
    dtype = torch.float64 if scale < 1 else torch.float32
    for some in (case.to(dtype), late.to(dtype)):
        expected, allowed = expect(some), solve(some, pairwise_with_joint)  # one call per side
        with use_workspace(2**16):
            judge(solve(some), expected, allowed, dtype)
        judge(solve(some), expected, allowed, dtype)


def test_blocks_of_halves() -> None:
    case = make(sizes=(70, 300, 9), seed=2).to(torch.bfloat16)
    with use_backend("reference"):
        expected = solve(case.to(torch.float64))
    with use_workspace(2**16):
        judge(solve(case), expected, solve(case, plain), torch.bfloat16)


@pytest.mark.parametrize("output", [0, 1, 2])
def test_the_gradient_of_one_output(output: int) -> None:
    case = make()
    both = [case.query.requires_grad_(), case.key.requires_grad_()]
    ours = pairwise_both_ways(*both, *case.tensors(), **case.options)[output].sum()
    with use_backend("reference"):
        theirs = pairwise_both_ways(*both, *case.tensors(), **case.options)[output].sum()
    for wanted in (both, both[:1], both[1:]):
        torch.testing.assert_close(
            torch.autograd.grad(ours, wanted, retain_graph=True), torch.autograd.grad(theirs, wanted, retain_graph=True)
        )


def test_second_derivatives() -> None:
    case = make()
    query = case.query.requires_grad_()

    def first(backend: str) -> Tensor:
        with use_backend(backend):
            of_queries, of_keys, _ = pairwise_both_ways(query, case.key, *case.tensors(), **case.options)
        return torch.autograd.grad(of_queries.sum() + of_keys.square().sum(), query, create_graph=True)[0]

    assert torch.autograd.grad(first("reference").square().sum(), query)[0].abs().sum() > 0
    with pytest.raises(RuntimeError, match="only the reference backend has a second derivative"):
        torch.autograd.grad(first("chunked").square().sum(), query)


@pytest.mark.parametrize("scale", [0.7, 4000.0])
def test_a_nan_is_not_hidden(scale: float) -> None:
    case = make(groups="none", scale=scale)
    case.query[3, 2] = torch.nan
    of_queries, of_keys, _ = pairwise_both_ways(case.query, case.key, *case.tensors(), **case.options)
    assert of_queries.isnan().nonzero().flatten().tolist() == [3]
    assert of_keys.isnan().all()


def test_results_repeat_bitwise() -> None:
    case = make(sizes=(70, 300, 9), groups="shuffled").to(torch.float32)
    for space in (2**16, 2**26):
        with use_workspace(space):
            for one, other in zip(vars(solve(case)).values(), vars(solve(case)).values(), strict=True):
                assert np.array_equal(one, other)


@pytest.mark.parametrize(("clip", "soft_clip"), [(None, None), (1.0, 1.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_small_workspace_holds(dtype: torch.dtype, clip: float | None, soft_clip: float | None) -> None:
    size, dim, space = 3000, 16, 2**20
    query, key = (torch.randn(size, dim, dtype=dtype).requires_grad_() for _ in range(2))
    pair = torch.arange(size)

    def step() -> tuple[Tensor, ...]:
        found = pairwise_both_ways(query, key, *[pair] * 4, clip=clip, soft_clip=soft_clip)
        return torch.autograd.grad(sum(part.sum() for part in found), [query, key])

    with use_workspace(space):
        peak = peak_bytes(step)
    vectors = 64 * size  # the results and other vectors of these lengths
    gradients = 2 * query.numel() * query.element_size()
    assert peak <= gradients + vectors + space < 4 * size * size


def test_one_table_serves_both() -> None:
    """The backward pass keeps the scores of one table, not of two."""
    query, key = torch.randn(512, 8, requires_grad=True), torch.randn(512, 8, requires_grad=True)
    pair = torch.arange(512)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        pairwise_both_ways(query, key, *[pair] * 4)
        assert sum(kept) < 1.2 * 512 * 512
        kept.clear()
        with use_backend("chunked"):
            for one, other in ((query, key), (key, query)):
                pairwise_with_joint("logsumexp", one, other, *[pair] * 4)
        assert sum(kept) > 2 * 512 * 512


def test_whole_graph_for_every_batch_size() -> None:
    torch._dynamo.reset()

    def loss(query: Tensor, key: Tensor) -> Tensor:
        pair = torch.arange(len(query))
        of_queries, of_keys, joint = pairwise_both_ways(query, key, *[pair] * 4, scale=0.5)
        return (of_queries + of_keys - 2 * joint).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for size in (6, 8, 12, 20):
        both = torch.randn(size, 5, requires_grad=True), torch.randn(size, 5, requires_grad=True)
        values = [run(*both) for run in (compiled, loss)]
        torch.testing.assert_close(*values)
        torch.testing.assert_close(*(torch.autograd.grad(value, both) for value in values))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(("keep", "clip"), [(True, None), (False, None), (False, 1.0)])
def test_opcheck(keep: bool, clip: float | None) -> None:
    case = make(sizes=(3, 12, 4), clip=clip, dtype=torch.float32)
    both = case.query.requires_grad_(), case.key.requires_grad_()
    opcheck(torch.ops.infomax.pairwise_both_ways.default, (*both, *case.tensors(), 0.5, clip, None, 2**26, keep))


def test_no_joint_pairs(backend: str) -> None:
    """The fuzzer found this case."""
    case = make(sizes=(3, 4, 2), dtype=torch.float32)
    groups = case.query_group, case.key_group
    of_queries, of_keys, joint = pairwise_both_ways(case.query, case.key, *groups, None, None)
    assert (of_queries.shape, of_keys.shape, joint.shape) == ((3,), (4,), (0,))


def test_a_map_is_refused() -> None:
    pair = torch.arange(2)
    with pytest.raises(ValueError, match="key must have shape"):
        pairwise_both_ways(torch.zeros(2, 3), torch.zeros(2, 3, 4), None, None, pair, pair)
