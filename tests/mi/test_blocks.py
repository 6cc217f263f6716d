"""Blocks of rows: fewer rows are left out than there are blocks."""

from __future__ import annotations

import pytest
import torch

from infomax.mi.input.blocks import BLOCK, WIDE_BLOCK, in_blocks
from infomax.mi.reading.held_out import _apart


@pytest.mark.parametrize("size", [2, 25, BLOCK, WIDE_BLOCK])
@pytest.mark.parametrize("rows", [1, 2, 50, 199, 399, 599, 10_099])
def test_hardly_a_row_is_left_out(rows: int, size: int) -> None:
    found = in_blocks(torch.arange(rows), size)
    assert found.flatten().tolist() == list(range(found.numel()))
    assert rows - found.numel() < len(found)
    assert min(size, rows) <= found.shape[1] < 2 * size


def test_hardly_a_row_of_groups_is_left_out() -> None:
    assert _apart(torch.arange(399), torch.arange(399), WIDE_BLOCK).numel() == 399
    assert _apart(torch.arange(399), torch.arange(399) // 2, WIDE_BLOCK).numel() == 398
