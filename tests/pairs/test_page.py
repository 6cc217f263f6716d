"""The scripts of the page "More than one GPU" run on two processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "more-than-one-gpu.md"


def scripts() -> dict[str, str]:
    """Return the four scripts. The FSDP2 script is the first script with other lines for the wrapping."""
    ddp, fsdp, lightning, accelerate = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    wrapping = re.compile(r"^encoder = Dist.*\nloss_fn = Dist.*\n", re.MULTILINE)
    assert len(wrapping.findall(ddp)) == 1
    return {
        "ddp": ddp,
        "fsdp": wrapping.sub(lambda _: fsdp, ddp),
        "lightning": lightning,
        "accelerate": accelerate,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp", "lightning", "accelerate"])
def test_a_script_runs_on_two_processes(name: str, tmp_path: Path) -> None:
    for package in ("lightning", "accelerate"):
        if name == package:
            pytest.importorskip(package)
    script = tmp_path / "train.py"
    script.write_text(scripts()[name], encoding="utf-8")
    launcher = [] if name == "lightning" else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(script)],
        env=environment(CUDA_VISIBLE_DEVICES=""),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses: dict[str, list[str]] = {}
    for rank, step, loss in re.findall(r"rank (\d) (\w+ \d+) loss (-?\d+\.\d{4})", done.stdout):
        losses.setdefault(step, []).append(loss)
        assert rank in "01"
    assert len(losses) >= 2
    for step, of_ranks in losses.items():
        assert len(of_ranks) == 2, step
        assert of_ranks[0] == of_ranks[1], f"every rank has the loss of the whole batch, at {step}"
    first, *_, last = (float(found[0]) for found in losses.values())
    assert last < first
