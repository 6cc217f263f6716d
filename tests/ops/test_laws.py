"""Properties that hold for all inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.cases import Case, judge, make, solve

from infomax.ops import pairwise_logsumexp, pairwise_softplus, use_backend, use_workspace

LAWS = settings(max_examples=25, deadline=None, derandomize=True)
BACKENDS = st.sampled_from(["reference", "chunked"])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return make(
        draw(st.sampled_from(["logsumexp", "softplus"])),
        (draw(st.integers(1, 6)), draw(st.integers(1, 24)), draw(st.integers(1, 5))),
        groups=draw(st.sampled_from(["none", "runs", "ragged", "shuffled"])),
        scale=draw(st.sampled_from([-1.5, 0.3, 1.0])),
        clip=draw(st.sampled_from([None, 0.8])),
        soft_clip=draw(st.sampled_from([None, 1.2])),
        seed=draw(st.integers(0, 2**20)),
    )


def value(case: Case) -> torch.Tensor:
    op = pairwise_logsumexp if case.reduction == "logsumexp" else pairwise_softplus
    return op(case.query, case.key, case.query_group, case.key_group, **case.options)


@LAWS
@given(cases(), BACKENDS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(case: Case, backend: str, random: object) -> None:
    order = torch.randperm(len(case.key), generator=torch.Generator().manual_seed(len(case.key)))
    group = None if case.key_group is None else case.key_group[order]
    with use_backend(backend):
        shuffled = value(replace(case, key=case.key[order], key_group=group))
        torch.testing.assert_close(shuffled, value(case), rtol=1e-12, atol=1e-12)


@LAWS
@given(cases(), BACKENDS)
def test_permuting_queries_permutes_results(case: Case, backend: str) -> None:
    order = torch.arange(len(case.query)).flip(0)
    group = None if case.query_group is None else case.query_group[order]
    with use_backend(backend):
        flipped = value(replace(case, query=case.query[order], query_group=group))
        torch.testing.assert_close(flipped, value(case)[order], rtol=1e-12, atol=1e-12)


@LAWS
@given(cases())
def test_the_workspace_does_not_matter(case: Case) -> None:
    """Each key is repeated until the table spans many blocks. The scores are kept or recomputed."""
    times = 40_000 // (len(case.key) * len(case.query))
    many = replace(
        case,
        key=case.key.repeat_interleave(times, 0),
        key_group=None if case.key_group is None else case.key_group.repeat_interleave(times),
        joint_key=case.joint_key * times,
    )
    with use_backend("chunked"):
        whole = solve(many)
        with use_workspace(2**16):
            judge(solve(many), whole, None, torch.float64)


@LAWS
@given(cases(), BACKENDS)
def test_an_excluded_key_is_a_removed_key(case: Case, backend: str) -> None:
    with use_backend(backend):
        row = 0
        group = None if case.query_group is None or case.key_group is None else case.query_group[row]
        kept = torch.ones(len(case.key), dtype=torch.bool) if group is None else case.key_group != group
        alone = replace(case, query=case.query[row : row + 1], key=case.key[kept], query_group=None, key_group=None)
        torch.testing.assert_close(value(alone), value(case)[row : row + 1], rtol=1e-12, atol=1e-12)


@LAWS
@given(cases(), BACKENDS, st.floats(-50, 50))
def test_a_constant_added_to_a_querys_scores_is_added_to_its_logsumexp(case: Case, backend: str, shift: float) -> None:
    case = replace(case, reduction="logsumexp", clip=None, soft_clip=None)
    wider = replace(
        case,
        query=torch.cat([case.query, torch.full_like(case.query[:, :1], shift / case.scale)], 1),
        key=torch.cat([case.key, torch.ones_like(case.key[:, :1])], 1),
    )
    with use_backend(backend):
        torch.testing.assert_close(value(wider), value(case) + shift, rtol=1e-12, atol=1e-12)


@LAWS
@given(cases(), BACKENDS)
def test_keys_split_in_two_add_up(case: Case, backend: str) -> None:
    cut = len(case.key) // 2
    with use_backend(backend):
        halves = [
            value(replace(case, key=case.key[part], key_group=None if case.key_group is None else case.key_group[part]))
            for part in (slice(None, cut), slice(cut, None))
        ]
        both = torch.logaddexp(*halves) if case.reduction == "logsumexp" else sum(halves)
        torch.testing.assert_close(both, value(case), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["logsumexp", "softplus"])
def test_the_scale_is_a_factor_of_the_query(backend: str, reduction: str) -> None:
    case = make(reduction).to(torch.float32)
    scaled = replace(case, query=case.query * 0.5, scale=2 * case.scale)
    torch.testing.assert_close(value(scaled), value(case), rtol=1e-6, atol=1e-6)
