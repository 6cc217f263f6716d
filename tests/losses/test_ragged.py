"""Ragged rows, given negatives and groups, against a padded batch and against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import score_tables
import torch
from contracts.layouts import both_forms, numpy_rows, randn
from contracts.limits import check_no_table_larger_than
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor

from infomax import DIMLoss, FDivergence, GlobalDIMLoss, LocalDIMLoss
from infomax.estimators import build_estimator
from infomax.pairs import pair_rows

C, D = 3, 4
SIZES = [3, 1, 5, 2]


def ragged(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return rows in random order with their example indices, the same rows padded with a mask, and the globals."""
    batch = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    rows, global_ = randn(len(batch), C, seed=seed), randn(len(SIZES), D, seed=seed + 1)
    padded, mask = torch.full((len(SIZES), C, 5), torch.nan, dtype=torch.float64), torch.zeros(4, 5, dtype=torch.bool)
    for example, size in enumerate(SIZES):
        padded[example, :, :size] = rows[batch == example].T
        mask[example, :size] = True
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    return rows[order], batch[order], padded, mask, global_


BOUNDS = "infonce jsd dv nwj tuba chi2 mine logistic smile alpha_tuba kl hellinger gan"
CASES = [
    *({"critic": "bilinear", "estimator": name} for name in (*BOUNDS.split(), FDivergence("rkl"))),
    *({"critic": critic, "units": 8} for critic in ("dot", "concat", "cosine")),
    *({"critic": "gaussian", "estimator": name, "units": 8} for name in ("leave_one_out", "club")),
    {"critic": "lipschitz", "estimator": "wasserstein", "units": 8},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_ragged_is_padded_and_masked(options: dict[str, Any]) -> None:
    found = []
    rows, batch, padded, mask, global_ = ragged()
    for given in ((rows, {"batch": batch}), (padded, {"mask": mask})):
        torch.manual_seed(0)
        loss = LocalDIMLoss(C, D, dtype=torch.float64, **options)
        leaf, summary = given[0].clone().requires_grad_(), global_.clone()
        summary.requires_grad_(not loss.estimator.fits_density)
        value = loss(leaf, summary, **given[1])
        value.backward()
        assert leaf.grad is not None
        by_rows = (
            leaf.grad
            if "batch" in given[1]
            else torch.stack([leaf.grad[e, :, p] for e, p in places(rows, batch, padded)])
        )
        nats = loss.mutual_information(given[0], global_, **given[1])
        by_global = [] if summary.grad is None else [summary.grad]
        found.append([value, nats, by_rows, *by_global, *(p.grad for p in loss.parameters()), *loss.buffers()])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, 1e-10)


@pytest.mark.parametrize("critic", ["bilinear", "dot", "cosine"])
@pytest.mark.parametrize("given", ["nothing", "group", "negatives"])
def test_ragged_rows_are_not_padded(critic: str, given: str) -> None:
    """One example of 2,000 rows among 199 of one row: padded, they would be 400,000 rows of three numbers."""
    sizes = torch.tensor([2000, *[1] * 199])
    batch = torch.repeat_interleave(torch.arange(200), sizes)
    rows, global_ = randn(len(batch), C).requires_grad_(), randn(200, D, seed=1)
    loss_fn = LocalDIMLoss(C, D, critic=critic, units=None if critic == "bilinear" else 8, dtype=torch.float64)
    options = {"nothing": {}, "group": {"group": torch.arange(200) // 2}, "negatives": {"negatives": randn(50, C)}}
    check_no_table_larger_than(600_000, lambda: loss_fn(rows, global_, batch=batch, **options[given]))


def places(rows: Tensor, batch: Tensor, padded: Tensor) -> list[tuple[int, int]]:
    """Return the example and the place in the padded batch of each row."""
    found = []
    for row, example in zip(rows, batch.tolist(), strict=True):
        (place,) = (padded[example] == row[:, None]).all(0).nonzero().flatten().tolist()
        found.append((example, place))
    return found


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("grouped", ["all", "examples", "none"])
@pytest.mark.parametrize("globals_", [(), (2,)])
def test_given_negatives_and_groups_against_loops(in_batch: bool, grouped: str, globals_: tuple[int, ...]) -> None:
    local, global_ = randn(4, C, 3), randn(4, C, *globals_, seed=1)
    more = randn(5, C, seed=2)
    group = {"all": [8, 3, 8, 5, 3, 1, 3, 8, 5], "examples": [8, 3, 8, 5], "none": None}[grouped]
    rows = pair_rows(
        local, global_, negatives=more, group=None if group is None else torch.tensor(group), in_batch=in_batch
    )
    ids = [*(group or range(4)), *[None] * 5][:9]
    table = score_tables.dot_table(numpy_rows(local), numpy_rows(global_))
    beside = np.einsum("iqc,lc->iql", numpy_rows(global_), more.numpy())
    pairs = score_tables.pairs_of(table)
    for (i, q), marginal in pairs.marginal.items():
        marginal.clear()
        for j in range(4):
            if in_batch and ids[j] != ids[i]:
                marginal += [complex(score) for score in table[i, q, j]]
        marginal += [complex(score) for score, its in zip(beside[i, q], ids[4:], strict=True) if its != ids[i]]
    for scores in both_forms(rows):
        assert scores.count().tolist() == [len(marginal) for marginal in pairs.marginal.values()]
        for name in ("infonce", "jsd", "dv", "nwj", "chi2", "wasserstein", "hellinger"):
            assert_close(build_estimator(name)(scores), ORACLES[name].loss(pairs).real, 1e-10, name)


def test_masked_ragged_and_sampled_with_negatives() -> None:
    rows, batch, padded, mask, global_ = ragged()
    more = randn(2, C, 2, seed=4)  # two maps of two locations: four rows
    loss = LocalDIMLoss(C, D, critic="bilinear", dtype=torch.float64)
    assert_close(loss(rows, global_, batch=batch, negatives=more), loss(padded, global_, mask, negatives=more), 1e-12)
    flat = more.transpose(1, 2).reshape(-1, C)
    assert_close(loss(rows, global_, batch=batch, negatives=flat), loss(padded, global_, mask, negatives=more), 1e-12)


def test_drawn_rows_are_of_their_example_and_no_row_comes_twice() -> None:
    rows, batch, *_, global_ = ragged()
    rows[:, 0] = torch.arange(len(rows))
    for seed in range(20):
        drawn = pair_rows(rows, global_, batch=batch, sample_locations=2, generator=torch.Generator().manual_seed(seed))
        assert torch.bincount(drawn.pairing.key_example).tolist() == [min(size, 2) for size in SIZES]
        numbers = drawn.local[:, 0].long()
        assert len(set(numbers.tolist())) == len(numbers)
        assert torch.equal(batch[numbers], drawn.pairing.key_example)


def test_one_graph_with_a_corrupted_copy() -> None:
    """Deep Graph Infomax: one example, its nodes, and the nodes of a corrupted graph as the only negatives."""
    nodes, corrupted, summary = randn(9, C), randn(9, C, seed=1), randn(1, D, seed=2)
    loss = LocalDIMLoss(C, D, critic="bilinear", estimator="jsd", in_batch=False, dtype=torch.float64)
    index = torch.zeros(9, dtype=torch.long)
    positive, negative = ((part @ (loss.critic.weight(summary)).T).squeeze(1) for part in (nodes, corrupted))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(positive, torch.ones(9).double()) + bce(negative, torch.zeros(9).double())
    assert_close(loss(nodes, summary, batch=index, negatives=corrupted), expected, 1e-12)
    assert_close(loss(nodes.T[None], summary, negatives=corrupted), expected, 1e-12)


def test_the_global_objective_encodes_given_maps() -> None:
    loss = GlobalDIMLoss(C, D, (2, 2), critic="bilinear", in_batch=False, dtype=torch.float64)
    local, global_, more = randn(2, C, 2, 2), randn(2, D, seed=1), randn(3, C, 2, 2, seed=2)
    q, k = loss.critic.weight(global_), loss.map_encoder(local)
    joint, marginal = (q * k).sum(1, keepdim=True), q @ loss.map_encoder(more).T
    expected = torch.nn.functional.cross_entropy(torch.cat([joint, marginal], 1), torch.zeros(2).long())
    assert_close(loss(local, global_, negatives=more), expected, 1e-12)
    with pytest.raises(ValueError, match="batch must be None: the global objective encodes maps of one size"):
        loss(local, global_, batch=torch.zeros(2).long(), negatives=more)
    with pytest.raises(ValueError, match=r"negatives must be maps of the size of local .*got \(3, 3, 4, 4\)"):
        loss(local, global_, negatives=torch.zeros(3, C, 4, 4, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"negatives must be a torch\.Tensor, got list"):
        loss(local, global_, negatives=[1.0])


def test_the_whole_objective_hands_everything_on() -> None:
    rows, batch, padded, mask, global_ = ragged()
    loss = DIMLoss(C, D, critic="bilinear", dtype=torch.float64)
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    group = torch.tensor([0, 1, 0, 2])
    one = loss(rows, global_, batch=batch, group=group, generator=draws[0])
    other = loss(padded, global_, mask, group=group, generator=draws[1])
    assert_close(one.loss, other.loss, 1e-12)
    assert one.local == loss.local_term(rows, global_, batch=batch, group=group)


GOOD = torch.zeros(6, C), torch.zeros(3, D), torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("options", "call", "error", "message"),
    [
        (
            {},
            {"batch": torch.tensor([0, 0, 0, 2, 2, 2])},
            ValueError,
            "name every example at least once, got no row for 1",
        ),
        ({}, {"batch": torch.tensor([0, 0, 1, 1, 2, 3])}, ValueError, "examples from 0 to 2, .* got 0 to 3"),
        ({}, {"batch": torch.tensor([-1, 0, 1, 1, 2, 2])}, ValueError, "examples from 0 to 2, .* got -1 to 2"),
        ({}, {"batch": torch.tensor([0, 1, 2])}, ValueError, r"batch must have the shape \(K,\) .* got \(3,\)"),
        ({}, {"batch": GOOD[2].float()}, TypeError, "batch must be a tensor of integers, got torch.float32"),
        ({}, {"batch": GOOD[2], "mask": torch.ones(6).bool()}, ValueError, "mask and batch must not be given together"),
        (
            {},
            {"negatives": torch.zeros(2, 7), "batch": GOOD[2]},
            ValueError,
            r"negatives must have shape \(L, 3\) .*\(2, 7\)",
        ),
        (
            {},
            {"negatives": torch.zeros(2, C).double(), "batch": GOOD[2]},
            TypeError,
            "negatives must have the dtype of local",
        ),
        ({"in_batch": False}, {"batch": GOOD[2]}, ValueError, "negatives must be given with in_batch=False"),
        (
            {},
            {},
            ValueError,
            r"same examples, got batch sizes 6 .* and 3 .*; rows of a ragged batch come with batch=index",
        ),
        (
            {"sample_negatives": 1},
            {"batch": GOOD[2], "group": torch.arange(3)},
            ValueError,
            "sample_negatives must be None",
        ),
    ],
)
def test_refusals(options: dict[str, Any], call: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LocalDIMLoss(C, D, critic="bilinear", **options)(*GOOD[:2], **call)


def test_maps_come_without_an_index() -> None:
    with pytest.raises(ValueError, match=r"local must be rows \(K, c\) with batch=, got \(6, 3, 2\); a map of every"):
        LocalDIMLoss(C, D, critic="bilinear")(torch.zeros(6, C, 2), GOOD[1], batch=GOOD[2])


def test_one_example_needs_negatives() -> None:
    loss = LocalDIMLoss(C, D, critic="bilinear")
    with pytest.raises(ValueError, match=r"at least 2 examples, got 1.*drop_last=True"):
        loss(torch.randn(1, C, 3), torch.randn(1, D))
    assert loss(torch.randn(1, C, 3), torch.randn(1, D), negatives=torch.randn(4, C)).isfinite()


def test_volume_image_padded_and_ragged_agree() -> None:
    """An image map, a volume, a padded batch and a ragged batch of the same vectors give the same loss."""
    loss = LocalDIMLoss(C, D, units=8, dtype=torch.float64).eval()
    local, global_ = randn(4, C, 12), randn(4, D, seed=1)
    flat = local.transpose(1, 2).reshape(-1, C)
    padded = torch.cat([local, torch.full((4, C, 2), torch.nan, dtype=torch.float64)], 2)
    values = [
        loss(local.view(4, C, 3, 4), global_),
        loss(local.view(4, C, 2, 3, 2), global_),
        loss(padded, global_, torch.arange(14).expand(4, 14) < 12),
        loss(flat, global_, batch=torch.arange(4).repeat_interleave(12)),
    ]
    table = score_tables.dot_table(
        numpy_rows(loss.critic.local_projection(flat).view(4, 12, -1).transpose(1, 2)),
        numpy_rows(loss.critic.global_projection(global_)),
        loss.critic.scale,
    )
    for value in values:
        assert_close(value, ORACLES["infonce"].loss(score_tables.pairs_of(table)).real, 1e-10)


def test_a_mask_that_leaves_one_group_is_refused() -> None:
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[3] = False
    with pytest.raises(ValueError, match="at least two groups among the examples with a real location, got only 0"):
        LocalDIMLoss(C, D, critic="bilinear", estimator="dv")(
            torch.randn(4, C, 3), torch.randn(4, D), mask, group=torch.tensor([0, 0, 0, 1])
        )


def test_one_row_in_all_says_what_batch_norm_needs() -> None:
    with pytest.raises(ValueError, match="batch norm in training mode needs at least 2 rows, got 1"):
        LocalDIMLoss(C, D, in_batch=False)(torch.randn(1, C), torch.randn(1, D), negatives=torch.randn(1, C))


class TestGroupsOfGivenNegatives:
    group = torch.tensor([0, 1, 0, 2, 1, 5])

    def test_a_map_has_one_group_and_an_absent_example_none(self) -> None:
        local, global_, more = randn(4, C, 3), randn(4, D, seed=1), randn(2, C, 3, seed=2)
        mask = torch.ones(4, 3, dtype=torch.bool)
        mask[1] = False
        loss = LocalDIMLoss(C, D, critic="bilinear", dtype=torch.float64)
        here = torch.tensor([0, 2, 3])
        flat, each = (
            more.transpose(1, 2).reshape(-1, C),
            torch.cat([self.group[here], torch.tensor([1, 1, 1, 5, 5, 5])]),
        )
        expected = loss(local[here], global_[here], negatives=flat, group=each)
        assert_close(loss(local, global_, mask, negatives=more, group=self.group), expected, 1e-12)

    @pytest.mark.parametrize(
        ("in_batch", "group", "message"),
        [
            (True, [0, 0, 0, 0, 0, 0], "the examples with a real location and the given negatives, got only 0"),
            (False, [0, 1, 2, 3, 3, 3], "at least two groups among the given negatives, got only 3: no pair would be"),
            (
                True,
                [0, 1, 2, 3, 3],
                r"per example, \(4,\), or one per example and then one per given .*, \(6,\), got \(5,",
            ),
        ],
    )
    def test_what_leaves_no_negative_is_refused(self, in_batch: bool, group: list[int], message: str) -> None:
        loss = LocalDIMLoss(C, D, in_batch=in_batch)
        with pytest.raises(ValueError, match=message):
            loss(torch.zeros(4, C, 3), torch.zeros(4, D), negatives=torch.zeros(2, C), group=torch.tensor(group))

    @pytest.mark.parametrize(("in_batch", "group"), [(True, [0, 0, 0, 0, 1, 0]), (False, [0, 1, 2, 3, 4, 4])])
    def test_what_leaves_one_is_not(self, in_batch: bool, group: list[int]) -> None:
        loss = LocalDIMLoss(C, D, units=8, in_batch=in_batch)
        given = {"negatives": torch.randn(2, C), "group": torch.tensor(group)}
        assert bool(loss(torch.randn(4, C, 3), torch.randn(4, D), **given).isfinite())


def test_an_index_that_no_term_needs_is_checked_too() -> None:
    """With the prior term alone, a wrong index is as wrong as with the local term."""
    rows, global_ = randn(6, C), randn(3, D, seed=1)
    objective = DIMLoss(C, D, beta=0.0, gamma=1.0, dtype=torch.float64)
    assert objective(rows, global_, batch=torch.tensor([0, 0, 1, 2, 2, 2])).loss.isfinite()
    assert objective(None, global_).loss.isfinite()
    with pytest.raises(ValueError, match="batch must name every example at least once"):
        objective(rows, global_, batch=torch.tensor([0, 0, 0, 2, 2, 2]))
