"""The ops under torch.compile: no graph breaks, and no recompilation for each size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from ops.cases import make
from ops.conftest import KERNELS
from torch import Tensor
from torch.library import opcheck

from infomax.ops import pairwise_softplus, pairwise_with_joint, use_backend, use_workspace

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
old_torch = pytest.mark.skipif(
    TORCH < (2, 7), reason="torch 2.6 cannot trace a context manager of ours, and counts its graphs in another way"
)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def loss(query: Tensor, key: Tensor, group: Tensor, key_group: Tensor) -> Tensor:
    every = torch.arange(key.shape[0])
    value, joint = pairwise_with_joint("logsumexp", query, key, group, key_group, key_group, every, scale=0.5)
    marginal = pairwise_softplus(query, key, group, key_group, clip=2.0, soft_clip=3.0)
    return torch.nn.functional.softplus(value[key_group] - joint).mean() + marginal.mean()


def inputs(examples: int, locations: int = 4, dim: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    group = torch.arange(examples)
    query = torch.randn(examples, dim, requires_grad=True)
    key = torch.randn(examples * locations, dim, requires_grad=True)
    return query, key, group, group.repeat_interleave(locations)


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_whole_graph_for_every_batch_size(backend: str) -> None:
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    seen = []
    for examples in (6, 8, 12, 20, 9):
        if backend in KERNELS and examples > 8:
            break  # Triton's interpreter is slow
        args = inputs(examples)
        actual, expected = compiled(*args), loss(*args)
        torch.testing.assert_close(actual, expected)
        for ours, theirs in zip(
            torch.autograd.grad(actual, args[:2]), torch.autograd.grad(expected, args[:2]), strict=True
        ):
            torch.testing.assert_close(ours, theirs)
        seen.append(graphs())
    # The second size makes sizes symbolic. No later size compiles anything.
    assert seen == [1, 2, 2, 2, 2][: len(seen)]


@pytest.mark.skipif(TORCH < (2, 8), reason="an older torch cannot say what a trace does not know")
def test_rows_that_a_mask_leaves(backend: str) -> None:
    """The number of rows is unknown while tracing, so no choice of the ops may depend on it."""

    def masked(query: Tensor, key: Tensor, present: Tensor) -> Tensor:
        rows = present.nonzero().squeeze(1)
        return pairwise_softplus(query[rows], key[rows]).sum()

    compiled = torch.compile(masked, fullgraph=True, backend="aot_eager")
    for examples in (8, 6):  # with a single batch size, the number of rows would have a known bound
        args = *inputs(examples, 1)[:2], torch.arange(examples) % 3 > 0
        actual, expected = compiled(*args), masked(*args)
        torch.testing.assert_close(actual, expected)
        gradients = [torch.autograd.grad(value, args[:2]) for value in (actual, expected)]
        torch.testing.assert_close(*gradients)
    assert graphs() == 2


@old_torch
def test_a_table_too_large_to_keep_is_another_graph() -> None:
    """The count of graphs can rise: it does when the table no longer fits in the workspace."""
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    with use_backend("chunked"), use_workspace(2**16):
        for examples in (4, 6, 8):
            compiled(*inputs(examples))
        before = graphs()
        args = inputs(40, 100)
        torch.testing.assert_close(compiled(*args), loss(*args))
        assert graphs() == before + 1


def test_a_trace_follows_the_forced_backend() -> None:
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    args = inputs(6)
    with torch.no_grad():
        for name in ("chunked", "reference", "chunked"):
            with use_backend(name):
                torch.testing.assert_close(compiled(*args), loss(*args))
    assert graphs() == 2


@old_torch
def test_a_backend_forced_inside_a_trace() -> None:
    args = inputs(6)

    def forced(*args: Tensor) -> Tensor:
        with use_backend("reference"), use_workspace(2**20):
            return loss(*args)

    torch.testing.assert_close(torch.compile(forced, fullgraph=True, backend="aot_eager")(*args), loss(*args))


@pytest.mark.slow
def test_inductor() -> None:
    compiled = torch.compile(loss, fullgraph=True)
    for examples in (6, 8, 12):
        args = inputs(examples)
        actual, expected = compiled(*args), loss(*args)
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(torch.autograd.grad(actual, args[:2]), torch.autograd.grad(expected, args[:2]))


# opcheck reads the gradient of tensors that are not leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(("clip", "soft_clip"), [(None, None), (1.0, 1.4)])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_opcheck(backend: str, reduction: str, keep: bool, clip: float | None, soft_clip: float | None) -> None:
    if backend in KERNELS and (clip is None or reduction == "softplus"):
        pytest.skip("the other half of the combinations, for time")
    case = make(reduction, (3, 12, 4), clip=clip, soft_clip=soft_clip, dtype=torch.float32)
    query, key = case.query.requires_grad_(), case.key.requires_grad_()
    options = (reduction, case.scale, clip, soft_clip, 2**26)
    keep = keep and backend in ("chunked", "blockwise")
    opcheck(torch.ops.infomax.pairwise.default, (query, key, *case.tensors(), *options, backend, keep))
    value, joint, saved = torch.ops.infomax.pairwise(query, key, *case.tensors(), *options, backend, keep)
    arguments = (
        torch.ones_like(value), torch.ones_like(joint), value.detach(), saved, query.detach(), key.detach(),
        *case.tensors(), *options, backend,
    )  # fmt: skip
    for needs in ((True, True), (True, False)) if clip is None else ((False, True),):
        opcheck(torch.ops.infomax.pairwise_backward.default, (*arguments, *needs))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck_of_pairs_alone() -> None:
    case = make("logsumexp", (3, 12, 4), dtype=torch.float32)
    query, key = case.query.requires_grad_(), case.key.requires_grad_()
    pairs = None, None, case.joint_query, case.joint_key
    options = ("none", case.scale, None, None, 2**16, "pairs")
    opcheck(torch.ops.infomax.pairwise.default, (query, key, *pairs, *options, False))
    value, joint, saved = torch.ops.infomax.pairwise(query, key, *pairs, *options, False)
    grads = torch.ones_like(value), torch.ones_like(joint)
    for needs in ((True, True), (True, False), (False, True)):
        opcheck(
            torch.ops.infomax.pairwise_backward.default,
            (*grads, value.detach(), saved, query.detach(), key.detach(), *pairs, *options, *needs),
        )
