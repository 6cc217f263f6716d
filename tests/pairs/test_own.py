"""Negatives that belong to one y each: the rows that they form, and the inputs that are refused."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import randn
from torch import Tensor

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


@pytest.mark.parametrize("wrong", [(randn(4, 8, 3), randn(4, 5)), (randn(4, 8), randn(4, 5, 1))])
def test_maps_are_refused_by_name(wrong: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"x and y must be vectors \(N, c\) and \(N, d\)"):
        pair_own(*wrong, randn(4, 2, 8))
