"""A compiled step with a gathered loss has the loss and the gradients of the plain step."""

from __future__ import annotations

from pathlib import Path

import torch
from processes import run_ranks

WORLD = 2


def test_a_compiled_step_is_the_plain_one(tmp_path: Path) -> None:
    """Once, the compiled backward pass raised an error about donated buffers."""
    for found in run_ranks(Path(__file__).with_name("gather_compiled.py"), WORLD, tmp_path):
        assert len(found) == 5 * 2 * 2
        for case, (plain, compiled) in found.items():
            assert len(plain) == len(compiled) > 2, case
            for expected, value in zip(plain, compiled, strict=True):
                torch.testing.assert_close(value, expected, msg=lambda text, case=case: f"{case}: {text}")
    assert "unwaited" not in (tmp_path / "said").read_text()
