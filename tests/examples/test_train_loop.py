"""examples/train_loop.py learns, and after a kill it resumes with the same losses."""

import importlib.util
import os
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

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and torchvision warn


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the script in this process and returns its output; ``probed`` keeps its probe."""

    def call(*arguments, probed=False):
        spec = importlib.util.spec_from_file_location("train_loop", SCRIPT)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        if not probed:  # the probe takes longer than the training under test
            monkeypatch.setattr(script, "probe", lambda *_: 50.0)
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        script.main()
        return capsys.readouterr().out

    return call


def folder_of_images(path, classes, per_class=20):
    """Write images of noise, 24 x 20 pixels, in one folder per class."""
    generator = np.random.default_rng(0)
    for name in classes:
        (path / name).mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path / name / f"{number}.png")
    return path


@pytest.mark.slow
def test_smoke_as_a_user_calls_it(tmp_path):
    shutil.copy(SCRIPT, tmp_path)  # away from the repository
    done = subprocess.run(
        [sys.executable, "-W", "error", "train_loop.py", "--smoke"],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nats") == 2
    assert (tmp_path / "runs" / "train_loop" / "smoke" / "figure.png").stat().st_size > 10_000


def test_the_trained_encoder_is_better_than_the_untrained_one(run, tmp_path):
    said = run("--epochs", 4, "--out", tmp_path, probed=True)
    untrained, trained = (float(line.split(": ")[1].split(" %")[0]) for line in said.splitlines() if "probe" in line)
    assert trained > untrained + 1
    history = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["history"]
    assert len(history) == 4
    assert history[-1][1] > history[0][1] + 0.3  # nats


@pytest.mark.slow
def test_a_killed_run_ends_with_the_losses_of_one_that_was_not(run, tmp_path):
    images = folder_of_images(tmp_path / "images", ("cats", "dogs"))
    settings = ["--images", images, "--size", 8, "--batch", 16, "--epochs", 15]
    run(*settings, "--out", tmp_path / "whole")
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    command = [sys.executable, SCRIPT, *settings, "--out", checkpoint.parent]
    same_threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # or last digits differ
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, env=same_threads)
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < len(torch.load(checkpoint, weights_only=True)["history"]) < 15

    said = run(*settings, "--out", checkpoint.parent)
    assert "epoch 1:" not in said
    assert "epoch 15:" in said
    whole, killed = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "killed"))
    assert killed["history"] == whole["history"]


def test_other_options_in_the_same_folder_are_refused(run, tmp_path, capsys):
    images = folder_of_images(tmp_path / "images", ("cats", "dogs"))
    settings = ["--images", images, "--size", 8, "--epochs", 1, "--out", tmp_path]
    run(*settings, "--batch", 16)
    with pytest.raises(SystemExit):
        run(*settings, "--batch", 8)
    assert "name another --out" in capsys.readouterr().err


@pytest.mark.parametrize("classes", [("cats", "dogs"), ("all",)])
def test_a_folder_of_images_in_half_precision(run, tmp_path, classes):
    """Images of a single class can be trained on, but no probe is run."""
    images = folder_of_images(tmp_path / "images", classes)
    said = run("--images", images, "--size", 16, "--epochs", 1, "--batch", 8, "--bf16", "--out", tmp_path)
    assert "epoch 1: loss" in said
    assert "nan" not in said
    assert said.count("linear probe") == (2 if len(classes) > 1 else 0)
    assert (tmp_path / "figure.png").exists()
