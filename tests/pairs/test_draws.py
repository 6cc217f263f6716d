"""Drawn locations and negatives: as many as requested, equally likely, and not masked while real ones remain."""

from __future__ import annotations

from collections import Counter

import pytest
import score_tables
import torch
from contracts.layouts import LAYOUTS, Layout, both_forms, features, numpy_rows, randn
from oracles import ORACLES
from tolerances import assert_close

from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.ops import use_workspace
from infomax.pairs import Pairing, pair_rows
from infomax.scores import Reduction


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
        """The negatives of each global are a uniformly random subset of the other examples."""
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
            # The standard deviation of a binomial is 18 here.
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

    def test_a_single_example(self) -> None:
        local, global_ = torch.randn(1, 3, 2), torch.randn(1, 4)
        with pytest.raises(ValueError, match=r"sample_negatives needs at least 2 examples .* to draw from, got 1"):
            pair_rows(local, global_, negatives=torch.randn(5, 3), sample_negatives=1)


def negatives_of(pairing: Pairing) -> list[set[int]]:
    """Return, for each example, the examples whose locals its first global meets."""
    group = pairing.marginal_group()
    queries = pairing.query_group[:: pairing.globals_]
    return [set(group[group != own].tolist()) for own in queries]


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
