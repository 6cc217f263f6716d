"""The rules of the test suite work: a run that tested nothing must not look like a run that passed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import warnings, pytest, torch

@pytest.mark.cuda
def test_on_a_gpu():
    assert torch.cuda.is_available()

def test_that_warns():
    warnings.warn("something is off")

@pytest.mark.xfail(reason="believed broken")
def test_that_passes_unexpectedly():
    pass

@pytest.mark.parametrize("turn", [1, 2])
def test_seed(turn):
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(0))
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run TESTS under the settings of the repository, as on a machine without a GPU."""
    (folder / "test_probe.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "PYTEST_XDIST_WORKER_COUNT": "0"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins of other packages can take seconds to load
    return subprocess.run(
        [*command, "test_probe.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_asking_for_cuda_tests_where_none_can_run_fails(tmp_path: Path) -> None:
    result = run(tmp_path, "-m", "cuda")
    assert result.returncode == 1
    assert "not one was executed" in result.stdout
    assert "1 skipped" in result.stdout


def test_warnings_and_unexpected_passes_fail_and_seeds_are_set(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode == 1
    assert "2 failed, 2 passed, 1 deselected" in result.stdout
    assert "UserWarning: something is off" in result.stdout
    assert "XPASS(strict)" in result.stdout
