"""In a ring of any size, a process holds the rows of at most two other processes at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import run_ranks


@pytest.mark.slow
@pytest.mark.parametrize("world", [3, 6])
def test_rows_that_are_held_at_a_time(world: int, tmp_path: Path) -> None:
    for forward, backward in run_ranks(Path(__file__).with_name("ring_ranks.py"), world, tmp_path):
        assert len(forward) == world - 1, "the rows of each other process arrive once"
        assert len(backward) >= world - 1
        assert max(forward) <= 2
        assert max(backward) <= 2
