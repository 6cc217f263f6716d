"""A tapped encoder sharded over two processes by `fully_shard` trains as the whole one does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("fsdp_ranks", HERE / "fsdp_ranks.py")
assert _spec is not None
assert _spec.loader is not None
ranks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ranks)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:infomax", str(HERE / "fsdp_ranks.py")]
    processes = [
        subprocess.Popen(
            [*command, str(rank), "2", str(tmp_path / "init"), str(tmp_path / f"{rank}.pt")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(outputs)
    expected = ranks.train(lambda features: None, ranks.batch())
    assert {name for name in expected if name.startswith("gradient")} == {
        f"gradient of encoder.{name}"
        for name in ("blocks.0.weight", "blocks.0.bias", "blocks.2.weight", "blocks.2.bias", "head.weight", "head.bias")
    }
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), expected)
