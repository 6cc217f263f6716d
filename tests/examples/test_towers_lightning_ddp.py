"""The examples on two towers, Lightning and several processes run, and their functions give the expected values."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib, scikit-learn and lightning warn


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write small files in the layout of Fashion-MNIST: each image has a bright horizontal bar at a random height."""
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 200)):
        images = draw.integers(0, 50, (count, 28, 28))
        heights = draw.integers(2, 26, count)
        for image, height in zip(images, heights, strict=True):
            image[height - 1 : height + 1] += 200
        header = np.array([2051, count, 28, 28], ">i4").tobytes()
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.astype(np.uint8).tobytes())
    return folder


def test_two_towers(run_example, pictures, tmp_path) -> None:
    said = run_example("two_towers", "--smoke", "--data", pictures)
    for row in ("chance", "untrained towers", "canonical correlations", "trained towers"):
        assert row in said
    with pytest.raises(SystemExit, match=r"idx3-ubyte.gz is missing: .*--data"):
        run_example("two_towers", "--data", tmp_path)


def test_recall_and_canonical_correlations(example) -> None:
    script = example("two_towers")
    torch.manual_seed(0)
    shared = torch.randn(500, 3)
    left, right = (torch.cat([shared, torch.randn(500, 80)], 1) @ torch.randn(83, 83) for _ in range(2))
    assert script.recall(left, left) == 100
    by_chance = script.recall(left, torch.randn(500, 83))
    assert by_chance < 6
    found = script.recall(*script.canonical((left, right), (left, right), ridge=1e-3))
    assert found > max(50, script.recall(left, right) + 30), "what is shared is linear here"


@pytest.mark.slow
def test_lightning_module(run_example) -> None:
    pytest.importorskip("lightning")
    said = run_example("lightning_module", "--smoke")
    for row in ("raw pixels", "PCA", "untrained encoder", "trained encoder"):
        assert row in said


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes(tmp_path) -> None:
    called = subprocess.run(
        [sys.executable, str(EXAMPLES / "ddp.py"), "--smoke", "--out", str(tmp_path)],  # ddp.py calls torchrun
        env=environment(MPLBACKEND="agg"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert called.returncode == 0, called.stderr[-2000:]
    for row in ("raw pixels", "untrained encoder", "split, gathered negatives", "whole batch, one process"):
        assert row in called.stdout
    difference = float(called.stdout.split("gathered loss is within")[1].split()[0])
    assert difference < 1e-4
    assert (tmp_path / "figure.png").stat().st_size > 10_000
