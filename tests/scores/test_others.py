"""Sums over the other examples where one example is far larger than the rest: no digits may cancel."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import randn

from infomax import functional as F
from infomax.pairs import pair_rows
from infomax.scores import StreamedScores


@pytest.mark.parametrize("n", [128, 129, 300])
@pytest.mark.parametrize("large", [1e7, 1e30, float("inf")])
def test_the_sum_of_the_others_of_a_large_row(n: int, large: float) -> None:
    query, key = 1 + 0.1 * randn(n, 1), 1 + 0.1 * randn(n, 1, seed=1)
    key[0] = large
    total = F.dot_scores(key, query).reduce("sum").marginal
    expected = float(query[0].double() @ key[1:].double().sum(0))
    assert float(total[0]) == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(total[1:], (query[1:] * (key.sum() - key[1:])).squeeze(1), rtol=1e-5)


def test_sums_of_the_others_of_groups_and_masks() -> None:
    local, global_ = randn(150, 3, 4), randn(150, 3, seed=1)
    mask = torch.rand(150, 4, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[:, 0] = True
    rows = pair_rows(local, global_, mask, group=torch.arange(150) % 40)
    scores = StreamedScores(rows.global_, rows.local, rows.pairing)
    table = rows.global_.double() @ rows.local.double().T
    keep = rows.pairing.query_group[:, None] != rows.pairing.key_group[None]
    assert torch.allclose(scores.reduce("sum").marginal.double(), (table * keep).sum(1), atol=1e-3)
