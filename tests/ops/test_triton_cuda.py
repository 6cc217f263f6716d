"""The Triton backend compiled, on a GPU: ``pytest -m cuda``. Elsewhere its small cases run in the interpreter."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from ops.cases import FLOOR, Case, make
from ops.conftest import KERNELS
from ops.oracle import Expected
from torch import Tensor

from benchmarks.memory import peak_bytes
from infomax.ops import pairwise_logsumexp, pairwise_softplus, pairwise_with_joint, use_backend, use_workspace
from infomax.ops.dispatch import choose

pytestmark = pytest.mark.cuda

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def on_gpu(case: Case, dtype: torch.dtype) -> Case:
    moved = {name: value.cuda() for name, value in vars(case).items() if isinstance(value, Tensor)}
    return Case(**{**vars(case), **moved}).to(dtype)


def solve(case: Case, backend: str) -> Expected:
    query, key = case.query.detach().requires_grad_(), case.key.detach().requires_grad_()
    with use_backend(backend):
        value, joint = pairwise_with_joint(case.reduction, query, key, *case.tensors(), **case.options)
    grads = torch.autograd.grad(
        [value, joint], [query, key], [case.grad_value.to(value.dtype), case.grad_joint.to(joint.dtype)]
    )
    return Expected(*(tensor.detach().double().cpu().numpy() for tensor in (value, joint, *grads)))


def check(case: Case, dtype: torch.dtype, allowance: float, backend: str = "triton") -> None:
    """Compare with the dense reference in float64, relative to the largest magnitude."""
    actual, expected = solve(on_gpu(case, dtype), backend), solve(on_gpu(case, dtype).to(torch.float64), "reference")
    for name, right in vars(expected).items():
        ours = getattr(actual, name)
        finite = np.isfinite(right)
        assert np.array_equal(ours[~finite], right[~finite]), name
        off = np.abs(ours[finite] - right[finite]).max(initial=0.0)
        assert off <= allowance * max(1.0, np.abs(right[finite]).max(initial=0.0)), (name, off)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("groups", ["none", "runs", "shuffled"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 33, 5), (129, 1000, 37), (1000, 4097, 96), (64, 3000, 520)], ids=str)
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
@pytest.mark.parametrize("backend", KERNELS)
def test_against_float64(
    backend: str, reduction: str, sizes: tuple[int, int, int], groups: str, dtype: torch.dtype
) -> None:
    case = make(reduction, sizes, groups=groups, scale=sizes[2] ** -0.5)
    check(case, dtype, 4 * FLOOR[dtype], backend)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("space", [5 * 2**20, 2**24, None], ids=["many panels", "panels", "kept"])
def test_blockwise_in_every_cut(space: int | None, dtype: torch.dtype) -> None:
    case = make("logsumexp", (300, 5000, 520), groups="shuffled", scale=0.05)
    with nullcontext() if space is None else use_workspace(space):
        check(case, dtype, 4 * FLOOR[dtype], "blockwise")


@pytest.mark.parametrize("soft_clip", [None, 2.0])
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
@pytest.mark.parametrize("backend", KERNELS)
def test_clip(backend: str, reduction: str, soft_clip: float | None) -> None:
    case = make(reduction, (200, 1500, 24), clip=1.5, soft_clip=soft_clip, scale=0.5)
    check(case, torch.float32, 4 * FLOOR[torch.float32], backend)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_full_size(reduction: str, dtype: torch.dtype) -> None:
    """N = 1024 globals of 64 features against 65536 locations."""
    case = make(reduction, (1024, 65536, 64), scale=0.125)
    check(case, dtype, 4 * FLOOR[dtype])


def test_huge_scores_and_nan() -> None:
    for dtype, size in ((torch.float32, 1e4), (torch.bfloat16, 3e4)):
        query = torch.ones(4, 16, device="cuda", dtype=dtype)
        key = torch.linspace(-1, 1, 64, device="cuda")[:, None].expand(64, 16).mul(size / 16).to(dtype)
        for op in (pairwise_logsumexp, pairwise_softplus):
            with use_backend("triton"):
                value = op(query, key)
            with use_backend("reference"):
                torch.testing.assert_close(value, op(query.double(), key.double()).float(), rtol=1e-5, atol=0.0)
    key[3, 3] = float("nan")
    with use_backend("triton"):
        assert pairwise_logsumexp(query, key).isnan().all()
        assert pairwise_softplus(query, key).isnan().all()


@pytest.mark.parametrize("backend", KERNELS)
def test_results_repeat_bitwise(backend: str) -> None:
    case = on_gpu(make("logsumexp", (300, 5000, 48), groups="shuffled"), torch.bfloat16)
    first = solve(case, backend)
    for _ in range(5):
        again = solve(case, backend)
        assert all(np.array_equal(left, getattr(again, name)) for name, left in vars(first).items())


@pytest.mark.parametrize("backend", [*KERNELS, None])
def test_compiled_in_one_graph(backend: str | None) -> None:
    def loss(query: Tensor, key: Tensor) -> Tensor:
        return pairwise_logsumexp(query, key).mean() + pairwise_softplus(query, key, clip=3.0, soft_clip=5.0).mean()

    compiled = torch.compile(loss, fullgraph=True)
    for rows in (64, 96, 160):
        query = torch.randn(rows, 32, device="cuda", requires_grad=True)
        key = torch.randn(4 * rows, 32, device="cuda", requires_grad=True)
        with use_backend(backend):
            actual, expected = compiled(query, key), loss(query, key)
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(
            torch.autograd.grad(actual, [query, key]), torch.autograd.grad(expected, [query, key])
        )


def test_chosen_on_a_gpu_and_memory() -> None:
    """With 8,192 examples, a table of scores would take 16 GiB."""
    query = torch.randn(8192, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    key = torch.randn(8192 * 64, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    def run() -> object:
        return torch.autograd.grad(pairwise_logsumexp(query, key).sum(), [query, key])

    assert peak_bytes(run, "cuda") < 2**30


def test_wide_features_on_a_gpu_and_memory() -> None:
    """The blockwise backend is chosen and stays within a forced workspace; a table of halves would take 1 GiB."""
    query = torch.randn(1024, 512, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    key = torch.randn(1024 * 512, 512, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    assert choose(query, "logsumexp", 2**27) == "blockwise"

    def run() -> object:
        return torch.autograd.grad(pairwise_logsumexp(query, key).sum(), [query, key])

    gradients = 2 * (query.numel() + key.numel())
    with use_workspace(2**27):
        assert peak_bytes(run, "cuda") < gradients + 2**27 + 2**24


def test_float64_goes_to_the_chunked_backend() -> None:
    case = on_gpu(make("logsumexp", (50, 400, 8), groups="shuffled"), torch.float64)
    actual, expected = solve(case, "chunked"), solve(case, "reference")
    for name, right in vars(expected).items():
        np.testing.assert_allclose(getattr(actual, name), right, rtol=1e-10, atol=1e-10)
