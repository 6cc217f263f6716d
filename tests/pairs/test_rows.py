"""From feature maps to rows: what belongs together, what is refused, what is drawn."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import score_tables
import torch
from contracts.layouts import LAYOUTS, Layout, features, numpy_rows, randn, some_mask
from contracts.limits import check_no_table_larger_than
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor

from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.ops import use_workspace
from infomax.pairs import Pairing, Rows, pair_rows
from infomax.scores import ClippedScores, DenseScores, PairScores, Reduction, StreamedScores


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestRows:
    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
    def test_rows_are_locations_example_by_example(self, layout: Layout) -> None:
        local, global_ = features(layout)
        paired = pair_rows(local, global_)
        np.testing.assert_array_equal(
            paired.local.detach().numpy(), np.concatenate(list(numpy_rows(local))), err_msg="local"
        )
        np.testing.assert_array_equal(paired.global_.detach().numpy(), np.concatenate(list(numpy_rows(global_))))
        locations = int(np.prod(layout.locations))
        assert paired.pairing.key_group.tolist() == [j for j in range(layout.local[0]) for _ in range(locations)]

    def test_a_channels_last_map_is_not_copied(self) -> None:
        local = randn(4, 3, 5, 2).to(memory_format=torch.channels_last)
        assert pair_rows(local, randn(4, 3)).local.data_ptr() == local.data_ptr()

    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
    @pytest.mark.parametrize("masked", [False, True])
    def test_counts(self, layout: Layout, masked: bool) -> None:
        local, global_ = features(layout)
        mask = some_mask(layout) if masked else None
        flat = None if mask is None else mask.reshape(mask.shape[0], -1).numpy()
        scores = F.dot_scores(local, global_, mask)
        pairs = score_tables.pairs_of(score_tables.dot_table(numpy_rows(local), numpy_rows(global_)), flat)
        assert scores.count().tolist() == [len(scores_) for scores_ in pairs.marginal.values()]
        joint = scores.reduce("logsumexp").joint
        assert sorted(joint.tolist()) == pytest.approx(sorted(score.real for score, _ in pairs.joint))

    @pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda layout: layout.name)
    def test_an_example_with_nothing_but_masked_locations_is_absent(self, layout: Layout) -> None:
        """Rows, pairing and scores are those of the batch without it."""
        local, global_ = (torch.cat([part, part[:1] * 10]) for part in features(layout))
        mask = torch.ones(local.shape[0], *local.shape[2:], dtype=torch.bool)
        mask[-1] = False
        mask.view(len(mask), -1)[0, 1:] = False
        order = torch.tensor([len(mask) - 1, *range(len(mask) - 1)])  # the absent one comes first, or last
        for chosen in (order, torch.arange(len(mask))):
            found = pair_rows(local[chosen], global_[chosen], mask[chosen])
            expected = pair_rows(local[:-1], global_[:-1], mask[:-1])
            assert torch.equal(found.local, expected.local)
            assert torch.equal(found.global_, expected.global_)
            assert torch.equal(found.pairing.key_group, expected.pairing.key_group)
            assert found.kept is not None
            assert torch.equal(chosen[found.kept], torch.arange(len(mask) - 1))


class TestFewerNegatives:
    @pytest.mark.parametrize("count", [1, 2, 4])
    @pytest.mark.parametrize("masked", [False, True])
    def test_streamed_dense_and_loops_agree(self, count: int, masked: bool) -> None:
        layout = Layout("several globals", (5, 2, 3), (5, 2, 2))
        local, global_ = features(layout)
        mask = torch.ones(5, 3, dtype=torch.bool)
        if masked:
            mask[0, 1:] = False
            mask[3, 0] = False
        paired = pair_rows(local, global_, mask if masked else None, sample_negatives=count, generator=generator())
        drawn = negatives_of(paired.pairing)
        assert all(len(others) == count and example not in others for example, others in enumerate(drawn))
        table = score_tables.dot_table(numpy_rows(local), numpy_rows(global_))
        for name in ("infonce", "jsd", "nwj", "chi2", "rkl"):
            value, gradient = score_tables.value_and_gradient(ORACLES[name].loss, table, mask.numpy(), drawn)
            expected = score_tables.dot_gradients(gradient, numpy_rows(local), numpy_rows(global_))
            for scores in both_forms(paired):
                with use_workspace(2**16):
                    loss = build_estimator(name)(scores)
                found = torch.autograd.grad(loss, (local, global_), retain_graph=True)
                assert_close(loss, value, 1e-12, name)
                for one, other in zip(found, expected, strict=True):
                    assert_close(numpy_rows(one), other, 1e-12, f"gradient of {name}")

    @pytest.mark.parametrize("autocast", [False, True])
    @pytest.mark.parametrize("reduction", ["logsumexp", "sum"])
    def test_joint_scores_are_float32(self, reduction: Reduction, autocast: bool) -> None:
        """Products of bfloat16 features are not rounded to bfloat16 before they are summed, autocast or not."""
        local, global_ = randn(4, 16, 3, dtype=torch.bfloat16), randn(4, 16, seed=1, dtype=torch.bfloat16)
        expected = F.dot_scores(local.double(), global_.double()).reduce("logsumexp").joint
        for negatives in (None, 2):
            paired = pair_rows(local, global_, sample_negatives=negatives, generator=generator())
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                found = both_forms(paired)[0].reduce(reduction).joint
            assert_close(found, expected, 2e-6, "joint scores")

    def test_every_other_example_is_equally_likely(self) -> None:
        """Each global's negatives are a uniform choice among the others: every subset, whoever is drawn."""
        examples, count, turns = 4, 2, 1500
        pair = randn(examples, 1), randn(examples, 1)
        source = generator()
        chosen: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(examples)]
        for _ in range(turns):
            for example, others in enumerate(
                negatives_of(pair_rows(*pair, sample_negatives=count, generator=source).pairing)
            ):
                chosen[example][tuple(sorted(others))] += 1
        for example, counter in enumerate(chosen):
            assert len(counter) == 3, f"{example} never meets some of the others"
            # A binomial's standard deviation is 18 here.
            assert all(abs(found - turns / 3) < 4 * 18.3 for found in counter.values()), (example, counter)

    def test_the_same_generator_draws_the_same(self) -> None:
        local, global_ = features(LAYOUTS[0])
        draws = [
            negatives_of(pair_rows(local, global_, sample_negatives=2, generator=generator(s)).pairing)
            for s in (1, 1, 2, 3, 4)
        ]
        assert draws[0] == draws[1]
        assert any(draw != draws[0] for draw in draws[2:])

    def test_an_example_without_locations_is_no_negative(self) -> None:
        local, global_ = randn(6, 2, 2), randn(6, 2, seed=1)
        mask = torch.zeros(6, 2, dtype=torch.bool)
        mask[1], mask[4] = True, True
        for seed in range(20):
            paired = pair_rows(local, global_, mask, sample_negatives=1, generator=generator(seed))
            for scores in both_forms(paired):
                assert scores.count().tolist() == [2] * 2
                for name in ORACLES:
                    assert build_estimator(name)(scores).isfinite()
        with pytest.raises(ValueError, match=r"sample_negatives must be between 1 and 1, the other examples .* got 2"):
            pair_rows(local, global_, mask, sample_negatives=2)

    @pytest.mark.parametrize("count", [0, 4, -1])
    def test_impossible_numbers(self, count: int) -> None:
        with pytest.raises(ValueError, match=rf"sample_negatives must be between 1 and 3, .* got {count}"):
            pair_rows(*features(LAYOUTS[0]), sample_negatives=count)


def negatives_of(pairing: Pairing) -> list[set[int]]:
    """For each example the examples whose locals its first global meets."""
    group = pairing.marginal_group()
    queries = pairing.query_group[:: pairing.globals_]
    return [set(group[group != own].tolist()) for own in queries]


def both_forms(paired: Rows) -> tuple[PairScores, PairScores]:
    streamed = StreamedScores(paired.global_, paired.local, paired.pairing)
    dense = DenseScores(
        lambda query, key: (query * key).sum(-1),
        paired.global_,
        paired.local,
        paired.pairing,
        floats_per_pair=2**16 // (8 * 5),
    )
    return streamed, dense


class TestSampledLocations:
    def test_each_example_has_that_many_of_its_own(self) -> None:
        local = torch.arange(4 * 9, dtype=torch.float32).view(4, 1, 3, 3)
        for seed in range(10):
            rows = pair_rows(local, local.flatten(2), sample_locations=4, generator=generator(seed)).local.view(4, 4)
            for example, drawn in enumerate(rows.tolist()):
                assert len(set(drawn)) == 4, "drawn with replacement"
                assert set(drawn) <= set(range(9 * example, 9 * example + 9))

    def test_all_locations_are_equally_likely(self) -> None:
        local, source = torch.arange(2 * 5, dtype=torch.float32).view(2, 1, 5), generator()
        counts = torch.zeros(10)
        for _ in range(3000):
            counts[pair_rows(local, local, sample_locations=2, generator=source).local.long().flatten()] += 1
        assert (counts - 1200).abs().max() < 4 * 27  # standard deviation sqrt(3000 * 0.4 * 0.6)

    def test_masked_locations_are_never_drawn_while_real_ones_remain(self) -> None:
        local = torch.arange(3 * 4, dtype=torch.float32).view(3, 1, 4)
        mask = torch.tensor([[True, False, True, True], [True, True, False, False], [False, False, False, True]])
        for seed in range(20):
            paired = pair_rows(local, local[:, :, 0], mask, sample_locations=2, generator=generator(seed))
            drawn = set(paired.local.long().flatten().tolist())
            assert drawn <= set(mask.view(-1).nonzero().flatten().tolist())
            assert paired.pairing.key_group.tolist() == [0, 0, 1, 1, 2]
            assert {4, 5, 11} <= drawn

    def test_more_than_there_are_is_all(self) -> None:
        local, global_ = features(LAYOUTS[2])
        assert torch.equal(pair_rows(local, global_, sample_locations=50).local, pair_rows(local, global_).local)

    def test_masked_values_do_not_reach_gradients(self) -> None:
        local = randn(3, 2, 4)
        mask = torch.tensor([[True, False, True, True], [True, True, False, False], [False, False, False, True]])
        local = local.masked_fill(~mask[:, None], torch.nan).requires_grad_()
        paired = pair_rows(local, randn(3, 2), mask, sample_locations=2, generator=generator())
        loss = F.infonce_loss(both_forms(paired)[0])
        (gradient,) = torch.autograd.grad(loss, local)
        assert loss.isfinite()
        assert not gradient[(~mask)[:, None].expand_as(gradient)].any()


class TestMemory:
    """InfoNCE shares the negatives of a global among its locations: no (N P) x (N P) logits, forward or backward."""

    def test_streamed(self) -> None:
        examples, locations = 8, 64
        local = randn(examples, 4, locations, dtype=torch.float32).requires_grad_()
        global_ = randn(examples, 4, dtype=torch.float32).requires_grad_()
        table = examples * examples * locations  # kept for the backward pass where it fits the workspace
        check_no_table_larger_than(2 * table, lambda: F.infonce_loss(F.dot_scores(local, global_)))

    def test_dense_tiles(self) -> None:
        examples, locations = 16, 64  # 65,536 numbers in all
        local = randn(examples, 4, locations, dtype=torch.float32).requires_grad_()
        global_ = randn(examples, 4, dtype=torch.float32).requires_grad_()
        with use_workspace(2**16):
            # 4 numbers a pair in products of 4 features: what the workspace of 64 KiB holds, and no more.
            check_no_table_larger_than(
                2**16 // 4,
                lambda: F.infonce_loss(
                    DenseScores(
                        lambda query, key: (query * key).sum(-1),
                        *reversed(pair_rows(local, global_)[:2]),
                        pair_rows(local, global_).pairing,
                        floats_per_pair=4,
                    )
                ),
            )


NOT_FLOATING = [torch.int64, torch.bool, torch.complex64]


class TestRefusals:
    """Argument, rule, what came, what to do."""

    @pytest.mark.parametrize(
        ("local", "global_", "mask", "error", "message"),
        [
            (torch.zeros(4), torch.zeros(4, 3), None, ValueError, r"local must have shape \(N, channels.*got \(4,\)"),
            (torch.zeros(4, 3), torch.zeros(()), None, ValueError, r"global_ must have shape \(N.*got \(\)"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(5, 3),
                None,
                ValueError,
                r"same examples.*4 from \(4, 3, 2\) and 5 from \(5, 3\)",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 7),
                None,
                ValueError,
                r"same channels.*3 from \(4, 3, 2\) and 7 from \(4, 7\).*DotCritic",
            ),
            (torch.zeros(1, 3, 2), torch.zeros(1, 3), None, ValueError, "at least 2 examples, got 1.*as negatives"),
            (torch.zeros(0, 3, 2), torch.zeros(0, 3), None, ValueError, "at least 2 examples, got 0"),
            (
                torch.zeros(4, 3, 0),
                torch.zeros(4, 3),
                None,
                ValueError,
                r"local must have at least one .*location, got \(4, 3, 0\)",
            ),
            (torch.zeros(4, 0), torch.zeros(4, 0), None, ValueError, r"local must have at least one channel"),
            (torch.zeros(4, 3), torch.zeros(4, 3, 0), None, ValueError, r"global_ must have at least one"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3, device="meta"),
                None,
                ValueError,
                "local and global_ must be on the same device, got local on cpu, global_ on meta",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.ones(4, 2, dtype=torch.bool, device="meta"),
                ValueError,
                "same device.*mask on meta",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.zeros(4, 2, dtype=torch.bool),
                ValueError,
                "mask must leave real locations in at least 2 examples, got 0 of 4.*negatives",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.tensor([[True, True], [False, False], [False, False], [False, False]]),
                ValueError,
                "got 1 of 4",
            ),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                torch.ones(4, 3, dtype=torch.bool),
                ValueError,
                r"mask must have the shape \(4, 2\) to fit local \(4, 3, 2\), got \(4, 3\)",
            ),
            (torch.zeros(4, 3, 2), torch.zeros(4, 3), torch.ones(4, 2), TypeError, "mask must be a bool.*float32"),
            (torch.zeros(4, 3, 2), torch.zeros(4, 3), [[True] * 2] * 4, TypeError, "mask must be a bool.*got list"),
            (
                torch.zeros(4, 3, 2),
                torch.zeros(4, 3),
                np.ones((4, 2), dtype=bool),
                TypeError,
                "mask must be a bool.*got ndarray",
            ),
            ([[1.0]], torch.zeros(4, 3), None, TypeError, "local must be a torch.Tensor, got list"),
            (torch.zeros(4, 3), None, None, TypeError, "global_ must be a torch.Tensor, got NoneType"),
        ],
    )
    def test_dot_scores(self, local: Any, global_: Any, mask: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            F.dot_scores(local, global_, mask)

    @pytest.mark.parametrize("dtype", NOT_FLOATING)
    def test_dtypes(self, dtype: torch.dtype) -> None:
        good, bad = torch.zeros(4, 3), torch.zeros(4, 3, dtype=dtype)
        with pytest.raises(TypeError, match=f"local must have a real floating dtype, got {dtype}"):
            F.dot_scores(bad, good)
        with pytest.raises(TypeError, match=f"global_ must have a real floating dtype, got {dtype}"):
            F.dot_scores(good, bad)
        with pytest.raises(TypeError, match=f"table must have a real floating dtype, got {dtype}"):
            F.dense_scores(bad[:3])

    @pytest.mark.parametrize(
        ("table", "mask", "error", "message"),
        [
            (torch.zeros(3, 4), None, ValueError, r"table must have shape \(N, N\) or \(N, Q, N, P\), got \(3, 4\)"),
            (torch.zeros(3, 3, 3), None, ValueError, r"table must have shape"),
            (torch.zeros(3, 2, 3, 0), None, ValueError, r"table must have shape.*got \(3, 2, 3, 0\)"),
            (torch.zeros(1, 1), None, ValueError, "table must hold at least 2 examples, got 1.*as negatives"),
            (torch.zeros(3, 3), torch.ones(3, dtype=torch.bool), ValueError, r"shape \(3, 1\) to fit table.*\(3,\)"),
            (torch.zeros(3, 3), torch.zeros(3, 1, dtype=torch.bool), ValueError, "got 0 of 3"),
            (torch.zeros(3, 3), torch.ones(3, 1), TypeError, "mask must be a bool tensor"),
            (torch.zeros(3, 3), [[True]] * 3, TypeError, "mask must be a bool tensor.*got list"),
            ([[0.0]], None, TypeError, "table must be a torch.Tensor, got list"),
        ],
    )
    def test_dense_scores(self, table: Any, mask: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            F.dense_scores(table, mask)

    def test_reductions(self) -> None:
        scores = F.dense_scores(torch.zeros(3, 3))
        with pytest.raises(ValueError, match=r"reduction must be one of .*logsumexp.*got 'mean'"):
            scores.reduce("mean")  # type: ignore[arg-type]
        for clip, message in ((-1.0, "clip must be positive, got -1"), (math.inf, "clip must be finite, got inf")):
            with pytest.raises(ValueError, match=message):
                ClippedScores(scores, clip)
        with pytest.raises(TypeError, match="clip must be a number, got str"):
            F.smile_estimate(scores, clip="5")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="scale must be a number, got str"):
            F.dot_scores(torch.zeros(3, 3), torch.zeros(3, 3), scale="2")  # type: ignore[arg-type]


def test_mixed_dtypes_meet_in_the_wider_one() -> None:
    local, global_ = randn(4, 3, 2, dtype=torch.bfloat16), randn(4, 3, seed=1, dtype=torch.float32)
    local.requires_grad_()
    loss = F.infonce_loss(F.dot_scores(local, global_))
    loss.backward()
    assert loss.dtype == torch.float32
    assert local.grad is not None
    assert local.grad.dtype == torch.bfloat16
    assert_close(loss, F.infonce_loss(F.dot_scores(local.double(), global_.double())), 2e-6)


def test_a_global_without_marginal_pairs_contributes_nothing() -> None:
    """Minus infinity for the log-sum-exp, 0 for sums, and never a NaN in a gradient."""
    local, global_ = features(Layout("sequence", (3, 2, 2), (3, 2)))
    paired = pair_rows(local, global_)
    pairing = paired.pairing
    pairing.query_group = torch.zeros(3, dtype=torch.int64)  # nobody meets example 0
    pairing.marginal_rows = torch.tensor([0, 1])  # and there is nobody else
    for scores in both_forms(paired):
        for reduction, empty in (("logsumexp", -torch.inf), ("softplus", 0.0), ("sum", 0.0), ("square_sum", 0.0)):
            reduced: Tensor = scores.reduce(reduction).marginal  # type: ignore[arg-type]
            assert (reduced == empty).all()
        loss = F.infonce_loss(scores)
        gradients = torch.autograd.grad(loss, (local, global_), allow_unused=True)
        assert loss == 0
        assert all(g is None or not g.any() for g in gradients)
