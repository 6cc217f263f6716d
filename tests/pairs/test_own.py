"""Negatives that each y has alone: which rows they are, and what is refused."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import randn

from infomax.pairs import pair_own


def test_the_rows_are_aligned() -> None:
    x, y, negatives = randn(3, 2), randn(3, 4), randn(3, 5, 2)
    found = pair_own(x, y, negatives)
    assert torch.equal(found.local, torch.cat([x, *negatives]))
    assert torch.equal(found.global_, torch.cat([y, *(row.expand(5, 4) for row in y)]))
    assert found.own == 5
    assert found.pairing.joint_key.tolist() == found.pairing.joint_query.tolist() == list(range(18))


@pytest.mark.parametrize("shape", [(3, 2), (3, 5, 2, 1), (2, 5, 2), (3, 0, 2), (3, 5, 4)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(3, M, 2\), M rows of x for each y, got"):
        pair_own(randn(3, 2), randn(3, 4), torch.zeros(shape, dtype=torch.float64))
