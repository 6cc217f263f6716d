"""The Triton kernels compile for several GPU generations without a GPU, spill no registers and fit shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.kernels import CHIPS, Compiled, entries
from infomax.ops.dispatch import _NARROW

pytest.importorskip("triton")
ROOT = Path(__file__).resolve().parents[2]


def check(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the kernel benchmark in its own process, since this one may have defined the kernels for the interpreter."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    environment.pop("TRITON_INTERPRET", None)
    call = f"sys.argv = ['x', 'kernels', *{list(arguments)}]\nmain()"
    code = f"import sys\n{before}\nfrom benchmarks.__main__ import main\n{call}"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_few_compile_for_an_a100() -> None:
    result = check("--smoke", "--check", "--chips", "80")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "12 compiled, 0 with a fault" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_every_kernel_and_table_entry(chip: int) -> None:
    result = check("--check", "--chips", str(chip))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_tiles_that_spill_are_refused() -> None:
    """The float32 gradients once ran with four warps, which spilled registers."""
    worse = "((512, config.Tiles(32, 64, 32, 128, 4, 2)),)"
    worse = f"from infomax.ops.triton import config\nconfig._TABLE['grad_query', 4] = {worse}"
    result = check("--smoke", "--check", "--chips", "80", before=worse)
    assert result.returncode == 1
    assert "grad_query_kernel [triton float32 d=128 logsumexp] at sm_80 spills" in result.stdout


def test_what_is_a_fault() -> None:
    fine = {"kernel": "k", "entry": "e", "chip": 80, "registers": 255, "spilled": 0, "shared": 0, "tensor_core": ""}
    assert Compiled(**fine).fault is None
    assert Compiled(**{**fine, "spilled": 4}).fault == "spills 4 bytes"
    assert "shared memory" in (Compiled(**{**fine, "shared": CHIPS[80] + 1}).fault or "")


def test_all_entries_are_the_tables() -> None:
    """The entries cover every backend, dtype and reduction, and every width at which a tile table changes."""
    every = list(entries())
    assert len(set(every)) == len(every)
    for backend in ("triton", "blockwise"):
        assert {entry.dtype for entry in every if entry.backend == backend} == {"float32", "bfloat16", "float16"}
        assert len({entry.reduction for entry in every if entry.backend == backend}) == 5
    widths = {entry.dim for entry in every if entry.backend == "triton"}
    assert {width for width in _NARROW.values() if width} <= widths
    assert {width > 32 for width in widths if width % 16} == {False, True}
    assert any(entry.keep for entry in every)
    assert any(not entry.aligned for entry in every)
    assert torch.bfloat16.itemsize in _NARROW
