"""examples/train_loop.py: it needs no neighbour, learns, and goes on after a kill as if nothing had happened."""

import ast
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPT = EXAMPLES / "train_loop.py"

pytestmark = pytest.mark.filterwarnings("default")  # of matplotlib and torchvision


@pytest.fixture
def run(monkeypatch, capsys):
    """The script with these arguments, in this process; what it printed comes back."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", ["train_loop.py", "quickstart.py"])
def test_what_users_paste_imports_nothing_from_a_neighbour(name):
    tree = ast.parse((EXAMPLES / name).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    neighbours = {path.stem for path in EXAMPLES.rglob("*.py")} | {path.name for path in EXAMPLES.rglob("*/")}
    assert "infomax" in imported
    assert not {module.split(".")[0] for module in imported} & (neighbours - {"infomax"})


def test_smoke_as_a_user_calls_it(tmp_path):
    shutil.copy(SCRIPT, tmp_path)  # pasted elsewhere
    done = subprocess.run(
        [sys.executable, "-W", "error", "train_loop.py", "--smoke"],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nats") == 2
    assert (tmp_path / "runs" / "train_loop" / "smoke" / "figure.png").stat().st_size > 10_000


def test_the_trained_encoder_is_better_than_the_untrained_one(run, tmp_path):
    said = run("--epochs", 4, "--out", tmp_path)
    untrained, trained = (float(line.split(": ")[1].split(" %")[0]) for line in said.splitlines() if "probe" in line)
    assert trained > untrained + 1
    history = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["history"]
    assert len(history) == 4
    assert history[-1][1] > history[0][1] + 0.3  # nats


def test_a_killed_run_ends_with_the_losses_of_one_that_was_not(run, tmp_path):
    run("--epochs", 3, "--batch", 512, "--out", tmp_path / "whole")
    command = [sys.executable, str(SCRIPT), "--epochs", "3", "--batch", "512", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(torch.load(checkpoint, weights_only=True)["history"]) < 3

    said = run("--epochs", 3, "--batch", 512, "--out", tmp_path / "killed")
    assert "epoch 1:" not in said
    whole, killed = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "killed"))
    # The processes may use different numbers of threads, and sums then differ in the last digits.
    np.testing.assert_allclose(killed["history"], whole["history"], rtol=1e-4, atol=1e-5)


def test_other_options_in_the_same_folder_are_refused(run, tmp_path, capsys):
    run("--epochs", 0, "--out", tmp_path)
    run("--epochs", 1, "--batch", 256, "--out", tmp_path)
    with pytest.raises(SystemExit):
        run("--epochs", 1, "--batch", 128, "--out", tmp_path)
    assert "name another --out" in capsys.readouterr().err


@pytest.mark.parametrize("classes", [("cats", "dogs"), ("all",)])
def test_a_folder_of_images_in_half_precision(run, tmp_path, classes):
    """A single class is trained on, but there is nothing to probe for."""
    generator = np.random.default_rng(0)
    for name in classes:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    said = run("--images", tmp_path / "images", "--size", 16, "--epochs", 1, "--batch", 8, "--bf16", "--out", tmp_path)
    assert "epoch 1: loss" in said
    assert "nan" not in said
    assert said.count("linear probe") == (2 if len(classes) > 1 else 0)
    assert (tmp_path / "figure.png").exists()
