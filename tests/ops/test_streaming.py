"""The streaming kernels: stretches of joint pairs that they skip, torch's matmul precision, and strides."""

from __future__ import annotations

import pytest
import torch
from ops.cases import expect, judge, make, plain, solve

from infomax.ops import pairwise_with_joint, use_backend
from infomax.ops.problem import addressable

pytest.importorskip("triton")
interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs compiled, under the marker cuda")


@interpreted
def test_stretches_without_a_pair_of_the_tile_are_passed_over() -> None:
    """With one joint pair per key, sorted by query, the second stretch of 1,024 pairs has none of the first tile."""
    dtype = torch.float32
    case = make("softplus", (70, 1100, 3), seed=6, scale=0.4).to(dtype)
    assert case.key_group is not None
    case.joint_key, case.joint_query = torch.arange(1100), case.key_group
    case.grad_joint = torch.linspace(-1, 2, 1100, dtype=torch.float64)
    with use_backend("triton"):
        judge(solve(case), expect(case), solve(case, plain), dtype)


class _OnGpu:
    device = torch.device("cuda")

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def test_float32_multiplies_as_torch_is_told_to() -> None:
    from infomax.ops.triton.launch import precision

    before = torch.get_float32_matmul_precision()
    try:
        for told, dtype, expected in [
            ("highest", torch.float32, "ieee"),
            ("high", torch.float32, "tf32"),
            ("high", torch.bfloat16, "ieee"),
        ]:
            torch.set_float32_matmul_precision(told)
            assert precision(_OnGpu(dtype)) == expected  # type: ignore[arg-type]
    finally:
        torch.set_float32_matmul_precision(before)
    assert precision(torch.zeros(2, 3)) == "interpreted"


def test_rows_whose_columns_are_far_apart_are_copied() -> None:
    """A kernel uses 32-bit offsets within a row. Rows whose columns span 2^31 elements or more are copied first."""
    far = torch.empty_strided((4, 128), (1, 2**24 + 1), device="meta")
    assert addressable(far).stride() == (128, 1)
    near = torch.empty_strided((4, 127), (1, 2**24), device="meta")
    assert addressable(near) is near


def test_gradients_of_pairs_have_the_strides_that_a_trace_expects() -> None:
    query, key = torch.randn(4, 6).T.requires_grad_(), torch.randn(6, 4).requires_grad_()
    index = torch.arange(6)
    _, joint = pairwise_with_joint("none", query, key, None, None, index, index)
    (grad,) = torch.autograd.grad(joint.sum(), query)
    assert grad.stride() == (4, 1)
