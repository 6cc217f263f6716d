"""From feature maps to rows: which rows form joint pairs, and that no table of pairs is stored."""

from __future__ import annotations

import numpy as np
import pytest
import score_tables
import torch
from contracts.layouts import LAYOUTS, Layout, both_forms, features, numpy_rows, randn, some_mask
from contracts.limits import check_no_table_larger_than
from tolerances import assert_close
from torch import Tensor

from infomax import functional as F
from infomax.ops import use_workspace
from infomax.pairs import pair_rows
from infomax.scores import DenseScores


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
        """Rows, pairing and scores are those of the batch without the absent example."""
        local, global_ = (torch.cat([part, part[:1] * 10]) for part in features(layout))
        mask = torch.ones(local.shape[0], *local.shape[2:], dtype=torch.bool)
        mask[-1] = False
        mask.view(len(mask), -1)[0, 1:] = False
        order = torch.tensor([len(mask) - 1, *range(len(mask) - 1)])  # the absent example comes first, or last
        for chosen in (order, torch.arange(len(mask))):
            found = pair_rows(local[chosen], global_[chosen], mask[chosen])
            expected = pair_rows(local[:-1], global_[:-1], mask[:-1])
            assert torch.equal(found.local, expected.local)
            assert torch.equal(found.global_, expected.global_)
            assert torch.equal(found.pairing.key_group, expected.pairing.key_group)
            assert found.kept is not None
            assert torch.equal(chosen[found.kept], torch.arange(len(mask) - 1))


class TestMemory:
    """InfoNCE shares the negatives of a global among its locations: no (N P) x (N P) logits, forward or backward."""

    def test_streamed(self) -> None:
        examples, locations = 8, 64
        local = randn(examples, 4, locations, dtype=torch.float32).requires_grad_()
        global_ = randn(examples, 4, dtype=torch.float32).requires_grad_()
        table = examples * examples * locations  # kept for the backward pass if it fits in the workspace
        check_no_table_larger_than(2 * table, lambda: F.infonce_loss(F.dot_scores(local, global_)))

    def test_dense_tiles(self) -> None:
        examples, locations = 16, 64  # 65,536 numbers in the products of all pairs
        local = randn(examples, 4, locations, dtype=torch.float32).requires_grad_()
        global_ = randn(examples, 4, dtype=torch.float32).requires_grad_()
        with use_workspace(2**16):
            # A product of 4 features takes 4 numbers per pair. Tiles take no more than the workspace of 64 KiB.
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
    """The log-sum-exp is minus infinity, sums are 0, and no gradient is NaN."""
    local, global_ = features(Layout("sequence", (3, 2, 2), (3, 2)))
    paired = pair_rows(local, global_)
    pairing = paired.pairing
    pairing.query_group = torch.zeros(3, dtype=torch.int64)  # every global belongs to example 0
    pairing.marginal_rows = torch.tensor([0, 1])  # and all marginal rows do as well
    for scores in both_forms(paired):
        for reduction, empty in (("logsumexp", -torch.inf), ("softplus", 0.0), ("sum", 0.0), ("square_sum", 0.0)):
            reduced: Tensor = scores.reduce(reduction).marginal  # type: ignore[arg-type]
            assert (reduced == empty).all()
        loss = F.infonce_loss(scores)
        gradients = torch.autograd.grad(loss, (local, global_), allow_unused=True)
        assert loss == 0
        assert all(g is None or not g.any() for g in gradients)
