"""A tapped encoder sharded over two processes by `fully_shard` trains like the unsharded encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from features import fsdp_ranks
from processes import run_ranks


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    found = run_ranks(Path(fsdp_ranks.__file__), 2, tmp_path, python=["-W", "error::UserWarning:infomax"])
    expected = fsdp_ranks.train(lambda features: None, fsdp_ranks.batch())
    assert {name for name in expected if name.startswith("gradient")} == {
        f"gradient of encoder.{name}"
        for name in ("blocks.0.weight", "blocks.0.bias", "blocks.2.weight", "blocks.2.bias", "head.weight", "head.bias")
    }
    for result in found:
        torch.testing.assert_close(result, expected)
