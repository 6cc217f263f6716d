"""The blockwise backend on problems with several row blocks, panels, blocks per panel and chunks per sum."""

from __future__ import annotations

import pytest
import torch
from ops.cases import expect, judge, make, plain, solve

from infomax.ops import pairwise_logsumexp, use_backend, use_workspace
from infomax.ops.blockwise.plan import Plan, may_keep, obstacle
from infomax.ops.dispatch import choose
from infomax.ops.problem import Problem
from infomax.ops.settings import DEFAULT_WORKSPACE, GPU_SHARE, workspace

pytest.importorskip("triton")
interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs compiled, under the marker cuda")

RECOMPUTED = (3 * 2**15, (40, 600, 20))
KEPT = (2**17, (16, 600, 5))


def cut(space: int, sizes: tuple[int, int, int], dtype: torch.dtype) -> Plan:
    queries, keys, dim = sizes
    query, key = torch.zeros(queries, dim, dtype=dtype), torch.zeros(keys, dim, dtype=dtype)
    return Plan.of(Problem(query, key, None, None, None, None, "logsumexp", 1.0, None, None, space))


def test_the_cases_are_cut() -> None:
    """The tests below would show nothing if the whole problem fitted at once."""
    plan = cut(*RECOMPUTED, torch.bfloat16)
    assert (len(plan.rows), len(plan.panels), len(plan.blocks(plan.panels[0]))) == (3, 3, 2)
    assert len(plan.chunks(plan.panels[0])) > 1
    assert len(plan.chunks(slice(0, 40))) == 1
    assert len(cut(*KEPT, torch.float32).panels) == 2
    assert may_keep(16, 600, "logsumexp", torch.float32, KEPT[0])
    assert not may_keep(40, 600, "logsumexp", torch.bfloat16, RECOMPUTED[0])


@interpreted
@pytest.mark.parametrize(("dtype", "groups"), [(torch.float32, "shuffled"), (torch.bfloat16, "runs")])
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_recomputed(reduction: str, dtype: torch.dtype, groups: str) -> None:
    space, sizes = RECOMPUTED
    case = make(reduction, sizes, groups=groups, seed=3, scale=0.3).to(dtype)
    with use_backend("blockwise"), use_workspace(space):
        judge(solve(case), expect(case), solve(case, plain), dtype)


@interpreted
@pytest.mark.parametrize(("clip", "soft_clip"), [(None, None), (0.9, 1.1)])
def test_kept(clip: float | None, soft_clip: float | None) -> None:
    """Scores grow from tile to tile, so each tile has its own reference to which its slopes are relative."""
    (space, sizes), dtype = KEPT, torch.float32
    case = make("logsumexp", sizes, groups="ragged", clip=clip, soft_clip=soft_clip, seed=4)
    case.key = case.key * torch.linspace(0.2, 3.0, sizes[1])[:, None]
    case = case.to(dtype)
    with use_backend("blockwise"), use_workspace(space):
        kept = solve(case)
        with use_workspace(space - 2**16):
            assert not may_keep(16, 600, "logsumexp", torch.float32, space - 2**16)
            again = solve(case)
    judge(kept, expect(case), solve(case, plain), dtype)
    judge(kept, again, None, dtype)


@interpreted
def test_more_rows_than_a_grid_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept slopes are weighted in parts of at most the rows of a grid.

    The test lowers this limit, because the interpreter accepts any grid.
    """
    from infomax.ops.blockwise import passes

    (space, sizes), dtype = KEPT, torch.float32
    case = make("logsumexp", sizes, groups="ragged", seed=4).to(dtype)
    seen: list[int] = []
    weigh = passes._weigh
    monkeypatch.setattr(passes, "_weigh", lambda *given: (seen.append(given[2].stop - given[2].start), weigh(*given)))
    with use_backend("blockwise"), use_workspace(space):
        whole = solve(case)
        monkeypatch.setattr(passes, "MOST_ROWS_OF_GRID", 7)
        parts = solve(case)
    assert set(seen) == {16, 7, 2}
    judge(parts, whole, None, dtype)


@interpreted
def test_pairs_listed_more_than_once() -> None:
    dtype = torch.float32
    case = make("softplus", (3, 7, 4), groups="none").to(dtype)
    case.joint_key = torch.tensor([2] * 9 + [5] * 4)
    case.joint_query = torch.tensor([1, 1, 0, 1, 2, 1, 0, 0, 1, 2, 2, 2, 2])
    case.grad_joint = torch.linspace(-1, 2, 13, dtype=torch.float64)
    with use_backend("blockwise"):
        judge(solve(case), expect(case), solve(case, plain), dtype)


@interpreted
def test_small_weights_of_float16_survive_a_large_joint_gradient() -> None:
    case = make("logsumexp", (4, 40, 6), groups="runs", seed=5).to(torch.float16)
    case.grad_value *= 1e-4
    case.grad_joint *= 10.0
    with use_backend("blockwise"):
        judge(solve(case), expect(case), None, torch.float16)
    case.grad_joint *= 0.0
    with use_backend("blockwise"):
        actual = solve(case).grad_query
    expected = expect(case).grad_query
    assert abs(actual - expected).max() < 2e-3 * abs(expected).max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_slopes_of_halves_are_not_kept(dtype: torch.dtype) -> None:
    assert not may_keep(16, 600, "logsumexp", dtype, 2**30)


class _OnGpu:
    """A stand-in for a tensor on a GPU, with the attributes that the choice of a backend reads."""

    device = torch.device("cuda")

    def __init__(self, dim: int, dtype: torch.dtype, rows: int = 64) -> None:
        self.shape, self.dtype = (rows, dim), dtype


@pytest.mark.parametrize(
    ("dtype", "dim", "expected"),
    [
        (torch.bfloat16, 128, "triton"),
        (torch.bfloat16, 144, "blockwise"),
        (torch.float16, 2048, "blockwise"),
        (torch.float32, 128, "blockwise"),
        (torch.float32, 512, "blockwise"),
        (torch.bfloat16, 100, "blockwise"),
        (torch.float64, 512, "chunked"),
    ],
)
def test_the_choice_on_a_gpu(dtype: torch.dtype, dim: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infomax.ops.dispatch.WIDE_PRODUCTS", True)  # as in torch 2.8
    assert choose(_OnGpu(dim, dtype), "logsumexp", DEFAULT_WORKSPACE) == expected  # type: ignore[arg-type]


def test_what_does_not_fit_the_workspace_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = _OnGpu(2048, torch.bfloat16, rows=2048)
    monkeypatch.setattr("infomax.ops.dispatch.WIDE_PRODUCTS", True)
    assert choose(wide, "logsumexp", 2**26) == "triton"  # type: ignore[arg-type]
    assert choose(wide, "logsumexp", 2**28) == "blockwise"  # type: ignore[arg-type]
    monkeypatch.setattr("infomax.ops.dispatch.WIDE_PRODUCTS", False)
    assert choose(wide, "logsumexp", 2**28) == "triton"  # type: ignore[arg-type]
    with use_backend("blockwise"), pytest.raises(RuntimeError, match="rounds products of halves to halves"):
        choose(wide, "logsumexp", 2**28)  # type: ignore[arg-type]


def test_a_workspace_too_small_for_the_queries_is_refused() -> None:
    query = torch.zeros(100, 16)
    needed = 8 * 100 * 128 * 4 // 2
    assert obstacle(query, needed) is None
    refused = pytest.raises(RuntimeError, match=f"100 queries of 16 features need a workspace of {needed} bytes, got")
    with use_backend("blockwise"), use_workspace(needed - 1), refused:
        pairwise_logsumexp(query, query)


def test_the_default_workspace_of_a_gpu_is_a_share_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 80 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert workspace(torch.device("cuda")) == 80 * 2**30 // GPU_SHARE == 2560 * 2**20
    assert workspace(torch.device("cpu")) == DEFAULT_WORKSPACE
    Properties.total_memory = 2**30
    assert workspace(torch.device("cuda")) == DEFAULT_WORKSPACE
    with use_workspace(2**20):
        assert workspace(torch.device("cuda")) == 2**20


@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_what_is_kept_holds_no_memory_as_it_was_found(reduction: str) -> None:
    case = make(reduction, (3, 12, 4), dtype=torch.float32)
    options = (reduction, case.scale, None, None, 2**26, "blockwise", True)
    torch.use_deterministic_algorithms(True)  # fills fresh memory with NaN
    *_, saved = torch.ops.infomax.pairwise(case.query, case.key, *case.tensors(), *options)
    assert saved.numel()
    assert saved.isfinite().all()
