"""The row of a recipe where only torch, einops, numpy and Pillow are installed, as on a bare GPU machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

REPRODUCTION = Path(__file__).resolve().parents[2] / "examples" / "reproduction"
ABSENT = ("matplotlib", "tqdm", "tensorboard", "sklearn", "scipy", "torchmetrics")
BLOCKED = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
sys.argv[0] = "reproduce.py"
runpy.run_path({str(REPRODUCTION / "reproduce.py")!r}, run_name="__main__")
"""


@pytest.fixture
def images(tmp_path):
    """Write a folder of two classes of noise, with 20 images each."""
    draws = torch.Generator().manual_seed(0)
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for at in range(20):
            pixels = torch.randint(256, (32, 32, 3), dtype=torch.uint8, generator=draws)
            Image.fromarray(pixels.numpy()).save(tmp_path / "images" / label / f"{at}.png")
    return tmp_path / "images"


def test_a_row_is_made_without_pictures_and_bars(images, tmp_path):
    out = tmp_path / "out"
    row = ["ours/cifar10-infonce", "--data", "folder", "--root", str(images), "--epochs", "1", "--max-steps", "2"]
    small = ["--batch", "8", "--units", "8", "--probe-epochs", "1", "--probe-images", "10", "--threads", "1"]
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED, *row, *small, "--holdout", "0.25", "--out", str(out)],
        env={"PYTHONPATH": os.pathsep.join([str(REPRODUCTION), *filter(None, sys.path)]), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("(no pictures: matplotlib is not installed)") == 1
    assert "DIM(L) InfoNCE" in (out / "table.md").read_text()
    (report,) = out.rglob("report.md")
    assert "![" not in report.read_text()
    assert "## What the encoder is worth" in report.read_text()
    assert not list(out.rglob("*.png"))
