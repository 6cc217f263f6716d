"""Joint scores of ragged rows with several globals: within the workspace, the same to rounding, in one graph."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.memory import peak_bytes
from infomax import LocalDIMLoss
from infomax.ops import use_workspace
from infomax.pairs import Pairing
from infomax.scores import DenseScores, PairScores, StreamedScores

N, Q, D, SPACE = 48, 32, 64, 2**18
FORMS = ["streamed", "dense"]


def problem(dtype: torch.dtype = torch.float32, *, complete: bool = False) -> tuple[Tensor, Tensor, Pairing]:
    """Return global rows, local rows and their pairing: 1 to 15 local rows per example, or 8 if ``complete``."""
    generator = torch.Generator().manual_seed(0)
    example = torch.arange(N).repeat_interleave(8 if complete else 1 + torch.arange(N) % 15)
    query, key = (torch.randn(size, D, generator=generator, dtype=dtype) for size in (N * Q, len(example)))
    pairing = Pairing(N, Q, example, locations=8 if complete else None)
    return query.requires_grad_(), key.requires_grad_(), pairing


def product(query: Tensor, key: Tensor) -> Tensor:
    return (query * key).sum(-1)


def scores_of(form: str, query: Tensor, key: Tensor, pairing: Pairing) -> PairScores:
    if form == "streamed":
        return StreamedScores(query, key, pairing, scale=0.5)
    return DenseScores(product, query, key, pairing, floats_per_pair=4 * D, scale=0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("complete", [False, True])
def test_memory_does_not_grow_with_pairs_times_features(form: str, dtype: torch.dtype, *, complete: bool) -> None:
    query, key, pairing = problem(dtype, complete=complete)

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(scores_of(form, query, key, pairing).joint().square().sum(), (query, key))

    joints = len(key) * Q
    features, vectors = 4 * (query.numel() + key.numel()), 4 * joints
    with use_workspace(SPACE):
        peak = peak_bytes(step)
    # Gradients, their float32 versions and those of one part at a time; scores, indices and gradients of the pairs.
    assert peak <= 3 * features + 12 * vectors + 2 * SPACE < 4 * joints * D


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("space", [2**16, 2**18, 2**26])
@pytest.mark.parametrize("complete", [False, True])
def test_values_and_both_derivatives(form: str, space: int, *, complete: bool) -> None:
    query, key, pairing = problem(torch.float64, complete=complete)
    weight = torch.randn(len(key) * Q, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []

    def exact() -> Tensor:
        return 0.5 * (query[pairing.joint_query] * key[pairing.joint_key]).sum(-1)

    def chunked() -> Tensor:
        with use_workspace(space):
            return scores_of(form, query, key, pairing).joint()

    compute: Callable[[], Tensor]
    for compute in (exact, chunked):
        joint = compute()
        slopes = torch.autograd.grad((weight * joint.square()).sum(), (query, key), create_graph=True)
        again = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), (query, key))
        found.append((joint, *slopes, *again))
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-13 * float(expected.detach().abs().max()))


def test_more_globals_than_a_tile_holds() -> None:
    """Each tile of dense scores then takes only some of the globals of one local row."""
    query, key, pairing = problem(torch.float64)
    seen = []

    def counted(query: Tensor, key: Tensor) -> Tensor:
        scores = product(query, key)
        seen.append(scores.numel())
        return scores

    with use_workspace(2**16):  # room for 8192 numbers
        joint = DenseScores(counted, query, key, pairing, floats_per_pair=8192 // 7).joint()
    assert max(seen) <= 7
    assert sum(seen) == len(joint)
    torch.testing.assert_close(joint, product(query[pairing.joint_query], key[pairing.joint_key]))


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="torch 2.6 breaks the graph where a mask is read")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_one_graph_with_a_mask() -> None:
    """The joint scores alone compile into one graph, where a mask decides the number of locations."""
    torch._dynamo.reset()
    loss = LocalDIMLoss(6, 5, critic="bilinear")
    compiled = torch.compile(Joint(loss), fullgraph=True, backend="aot_eager")
    local, global_ = torch.randn(5, 6, 4, requires_grad=True), torch.randn(5, 5, 3, requires_grad=True)
    for step in range(2):
        mask = torch.rand(5, 4, generator=torch.Generator().manual_seed(step)) < 0.7
        mask[:, 0] = True
        found = [
            (joint, *torch.autograd.grad(joint.square().sum(), (local, global_)))
            for joint in (Joint(loss)(local, global_, mask), compiled(local, global_, mask))
        ]
        for expected, got in zip(*found, strict=True):
            torch.testing.assert_close(got, expected)


class Joint(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, *given: Tensor) -> Tensor:
        joint: Tensor = self.loss.scores(*given).joint()
        return joint
