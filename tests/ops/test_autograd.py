"""Gradients: numerical checks, no needless work, bitwise repetition, and second derivatives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ops.cases import make
from ops.conftest import KERNELS
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from infomax.ops import pairwise_logsumexp, pairwise_softplus, pairwise_with_joint, use_backend, use_workspace
from infomax.ops.problem import REDUCTIONS


def call(case: Any, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    return pairwise_with_joint(case.reduction, query, key, *case.tensors(), **case.options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck(reduction: str) -> None:
    """Check values across blocks. test_values compares the gradients of every backend with loops."""
    case = make(reduction, (3, 9, 2), clip=0.9, soft_clip=1.2)
    case.joint_key = case.joint_key * 2000  # repeated keys: many blocks, but few inputs to differentiate
    query, key = case.query.requires_grad_(), case.key.requires_grad_()

    def op(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        group = case.key_group.repeat_interleave(2000)
        key = key.repeat_interleave(2000, 0)
        return pairwise_with_joint(
            reduction, query, key, case.query_group, group, case.joint_query, case.joint_key, **case.options
        )

    with use_backend("chunked"), use_workspace(2**16):
        assert torch.autograd.gradcheck(op, (query, key))


@pytest.mark.parametrize(("clip", "soft_clip"), [(None, None), (0.9, 1.2)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reference_has_second_derivatives(reduction: str, clip: float | None, soft_clip: float | None) -> None:
    case = make(reduction, (3, 6, 2), clip=clip, soft_clip=soft_clip)
    with use_backend("reference"):
        inputs = (case.query.requires_grad_(), case.key.requires_grad_())
        assert torch.autograd.gradgradcheck(lambda query, key: call(case, query, key), inputs)


@pytest.mark.parametrize("name", ["chunked", "triton"])
def test_other_backends_refuse_second_derivatives(name: str) -> None:
    if name == "triton":
        pytest.importorskip("triton")
        if torch.cuda.is_available():
            pytest.skip("runs compiled, under the marker cuda")
    query, key = torch.randn(3, 2, requires_grad=True), torch.randn(4, 2)
    with use_backend(name):
        (grad,) = torch.autograd.grad(pairwise_logsumexp(query, key).sum(), query, create_graph=True)
    with pytest.raises(
        RuntimeError, match=r'only the reference backend has a second derivative\. Run .*use_backend\("reference"\)'
    ):
        grad.sum().backward()


@pytest.mark.parametrize("size", [2**16, 2**26])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_backward_twice_gives_the_same(backend: str, reduction: str, size: int) -> None:
    case = make(reduction, (20, 90, 4)).to(torch.float32)
    with use_workspace(size):
        outputs = call(case, case.query.requires_grad_(), case.key.requires_grad_())
    grads = [case.grad_value.float(), case.grad_joint.float()]
    first = torch.autograd.grad(outputs, [case.query, case.key], grads, retain_graph=True)
    second = torch.autograd.grad(outputs, [case.query, case.key], grads)
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("size", [2**16, 2**26])
def test_results_repeat_bitwise(backend: str, size: int) -> None:
    sizes = (8, 20, 6) if backend in KERNELS else (30, 200, 6)  # Triton's interpreter is slow
    case = make("logsumexp", sizes, groups="shuffled").to(torch.float32)
    case.joint_query, case.joint_key = case.joint_query.repeat(3), case.joint_key.repeat_interleave(3)
    case.grad_joint = torch.randn(len(case.joint_key))

    def run() -> list[Tensor]:
        query, key = case.query.clone().requires_grad_(), case.key.clone().requires_grad_()
        with use_workspace(size):
            outputs = call(case, query, key)
        grads = [case.grad_value.float(), case.grad_joint.float()]
        return [*outputs, *torch.autograd.grad(outputs, [query, key], grads)]

    first = run()
    for _ in range(3):
        assert all(map(torch.equal, first, run()))


@pytest.mark.parametrize("used", ["value", "joint"])
@pytest.mark.parametrize("wanted", ["query", "key"])
def test_one_output_and_one_input(backend: str, used: str, wanted: str) -> None:
    case = make().to(torch.float32)
    both = [case.query.clone().requires_grad_(), case.key.clone().requires_grad_()]
    index = ("value", "joint").index(used)
    expected = torch.autograd.grad(call(case, *both)[index].sum(), both)[("query", "key").index(wanted)]
    one = [tensor.detach().requires_grad_(name == wanted) for name, tensor in zip(("query", "key"), both, strict=True)]
    output = call(case, *one)[index].sum()
    output.backward()
    left, right = one if wanted == "query" else reversed(one)
    torch.testing.assert_close(left.grad, expected)
    assert right.grad is None


class _Products(TorchDispatchMode):
    """Records, for each call of the op that computes gradients, which gradients are requested."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.infomax.pairwise_backward.default:
            self.seen.append(args[-2:])
        return func(*args, **(kwargs or {}))


def test_no_work_for_inputs_that_need_no_gradient() -> None:
    query, key = torch.randn(5, 3), torch.randn(8, 3)
    for needs in ((True, False), (False, True), (True, True)):
        inputs = [x.detach().requires_grad_(need) for x, need in zip((query, key), needs, strict=True)]
        with _Products() as products:
            pairwise_softplus(*inputs).sum().backward()
        assert products.seen == [needs]


def test_nothing_is_kept_without_a_gradient_to_come() -> None:
    class Kept(TorchDispatchMode):
        flags: list[bool] = []  # noqa: RUF012

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.infomax.pairwise.default:
                self.flags.append(args[-1])
            return func(*args, **(kwargs or {}))

    query, key = torch.randn(5, 3), torch.randn(8, 3)
    with use_backend("chunked"), Kept() as kept:
        pairwise_logsumexp(query, key)
        pairwise_logsumexp(query.requires_grad_(), key)
        with torch.no_grad():
            pairwise_logsumexp(query, key)
        with use_workspace(2**16):
            pairwise_logsumexp(query, key.repeat(1000, 1))
    assert kept.flags == [False, True, False, False]


def test_autocast_lowers_the_inputs_and_keeps_the_sums(backend: str) -> None:
    query, key = torch.randn(4, 8, requires_grad=True), torch.randn(9, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = pairwise_logsumexp(query, key.to(torch.bfloat16))
    assert value.dtype == torch.float32
    lowered = pairwise_logsumexp(query.to(torch.bfloat16), key.to(torch.bfloat16))
    assert torch.equal(value, lowered)
    grad_query, grad_key = torch.autograd.grad(value.sum(), [query, key])
    assert grad_query.dtype == grad_key.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch.func loads torch.jit
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_transforms_of_torch_func(reduction: str) -> None:
    case = make(reduction, (3, 9, 2), clip=0.9, soft_clip=1.2)
    query, key = case.query, case.key
    tangent = torch.randn(query.shape, generator=torch.Generator().manual_seed(1), dtype=query.dtype)

    def total(query: Tensor) -> Tensor:
        value, joint = call(case, query, key)
        return (value * torch.arange(1, 4)).sum() + joint.square().sum()

    (expected,) = torch.autograd.grad(total(leaf := query.clone().requires_grad_()), leaf)
    right = {"rtol": 1e-10, "atol": 1e-12}
    assert expected.any()
    for derivative in (torch.func.grad(total), torch.func.jacrev(total), torch.func.jacfwd(total)):
        torch.testing.assert_close(derivative(query), expected, **right)
    value, along = torch.func.jvp(total, (query,), (tangent,))
    torch.testing.assert_close(value, total(query), **right)
    torch.testing.assert_close(along, (expected * tangent).sum(), **right)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(total(forward_ad.make_dual(query, tangent)))
    torch.testing.assert_close(dual.tangent, along, **right)
    both = torch.stack([query, 2 * query])
    torch.testing.assert_close(torch.func.vmap(total)(both), torch.stack([total(one) for one in both]), **right)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(both)[0], expected, **right)
    with use_backend("reference"):
        again = torch.autograd.functional.hessian(total, query)
    torch.testing.assert_close(torch.func.hessian(total)(query), again, **right)
    narrow = [None if index is None else index.to(torch.uint8) for index in case.tensors()]
    again = torch.func.jvp(
        lambda query: pairwise_with_joint(reduction, query, key, *narrow, **case.options), (query,), (tangent,)
    )
    torch.testing.assert_close(again[0], call(case, query, key))
    query, key, tangent = query.float(), key.float(), tangent.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = torch.func.jvp(lambda query: call(case, query, key), (query,), (tangent,))
        expected = call(case, query, key)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    with use_backend("chunked"), pytest.raises(NotImplementedError, match=r"cannot run under torch\.func"):
        torch.func.grad(total)(query)
