"""Keys that are the locations of a map: the same results as for rows, without a copy of the map."""

from __future__ import annotations

import pytest
import torch
from ops.cases import make
from torch import Tensor

from benchmarks.memory import peak_bytes
from infomax import functional as F
from infomax.ops import pairwise_with_joint, use_backend, use_workspace
from infomax.ops.dispatch import takes_map
from infomax.ops.problem import REDUCTIONS


def problem(examples: int, dim: int, locations: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    map_ = torch.randn(examples, dim, locations, dtype=dtype)
    query = torch.randn(examples, dim, dtype=dtype)
    group = torch.arange(examples)
    return query, map_, group, group.repeat_interleave(locations)


def solve(reduction: str, query: Tensor, key: Tensor, group: Tensor, key_group: Tensor, **options: float | None):
    query, key = query.detach().requires_grad_(), key.detach().requires_grad_()
    every = torch.arange(len(key_group))
    value, joint = pairwise_with_joint(reduction, query, key, group, key_group, key_group, every, scale=0.3, **options)
    weights = torch.linspace(-1, 2, len(joint), dtype=joint.dtype)
    grads = torch.autograd.grad((value * value.detach().cos()).sum() + (weights * joint).sum(), [query, key])
    return value, joint, *grads


def rows_of(map_: Tensor) -> Tensor:
    return map_.transpose(1, 2).reshape(-1, map_.shape[1])


@pytest.mark.parametrize("space", [2**16, 2**20, 2**26], ids=["many blocks", "some", "kept"])
@pytest.mark.parametrize("sizes", [(12, 5, 16), (30, 7, 50), (3, 4, 256)], ids=str)
@pytest.mark.parametrize("reduction", ["logsumexp", "softplus", "sum"])
def test_a_map_is_its_rows(reduction: str, sizes: tuple[int, int, int], space: int) -> None:
    query, map_, *groups = problem(*sizes)
    assert takes_map("chunked", map_)
    options = {"clip": 1.5, "soft_clip": 2.0} if space == 2**16 else {}
    with use_backend("chunked"), use_workspace(space):
        of_map, of_rows = (solve(reduction, query, key, *groups, **options) for key in (map_, rows_of(map_)))
    for ours, theirs in zip(of_map[:3], of_rows[:3], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert of_map[3].is_contiguous()
    torch.testing.assert_close(rows_of(of_map[3]), of_rows[3])


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [((6, 5, 4), torch.float64), ((3, 4, 300), torch.float64), ((12, 5, 20), torch.bfloat16), ((6, 5, 20), None)],
)
def test_where_it_cannot_stay_it_becomes_rows(sizes: tuple[int, int, int], dtype: torch.dtype | None) -> None:
    query, map_, *groups = problem(*sizes, dtype or torch.float64)
    if dtype is None:
        map_ = map_.transpose(1, 2).contiguous().transpose(1, 2)
    assert not takes_map("chunked", map_)
    of_map, of_rows = (solve("logsumexp", query, key, *groups) for key in (map_, rows_of(map_)))
    assert torch.equal(of_map[0], of_rows[0])
    assert torch.equal(rows_of(of_map[3]), of_rows[3])


def test_on_every_backend(backend: str) -> None:
    query, map_, *groups = problem(3, 4, 16, torch.float32)
    of_map, of_rows = (solve("softplus", query, key, *groups) for key in (map_, rows_of(map_)))
    torch.testing.assert_close(of_map[0], of_rows[0])
    torch.testing.assert_close(rows_of(of_map[3]), of_rows[3])


def test_neither_the_map_nor_its_gradient_is_copied() -> None:
    local = torch.randn(64, 32, 8, 8, requires_grad=True)
    global_ = torch.randn(64, 32, requires_grad=True)
    size = local.numel() * 4

    def step() -> object:
        return torch.autograd.grad(F.infonce_loss(F.dot_scores(local, global_)), [local, global_])

    step()
    with use_workspace(2**17):
        assert peak_bytes(step) < size + 2**17 + 2**18 < 2 * size
        with use_backend("reference"):
            assert peak_bytes(step) > 2 * size


def test_scores_of_a_map_go_on_as_those_of_rows() -> None:
    local, global_ = torch.randn(5, 6, 4, 4), torch.randn(5, 6)
    scores = F.dot_scores(local, global_)
    assert scores.key.shape == (80, 6)
    whole = torch.ones(5, 4, 4, dtype=torch.bool)
    rows = F.dot_scores(local, global_, whole)
    for other in (lambda s: s, lambda s: s.scaled(0.5), lambda s: s.shifted(0.3)):
        for reduction in REDUCTIONS:
            torch.testing.assert_close(other(scores).reduce(reduction), other(rows).reduce(reduction))


def test_shapes_are_checked() -> None:
    case = make()
    with pytest.raises(ValueError, match=r"the same number of features d, got query \(7, 5\) and key \(3, 4\)"):
        pairwise_with_joint("sum", case.query, torch.zeros(3, 4, 11, dtype=torch.float64), *case.tensors())
    with pytest.raises(ValueError, match="key_group must have shape"):
        pairwise_with_joint("sum", case.query, torch.zeros(3, 5, 10, dtype=torch.float64), *case.tensors())
