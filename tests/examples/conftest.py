"""Fixtures shared by the tests of the examples: the scripts as modules, and one run of the trainer."""

from __future__ import annotations

import csv
import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REPRODUCTION = EXAMPLES / "reproduction"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a script of `examples` by its name."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def run_example(
    example: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Return a function that runs a script of `examples`, checks that it drew its figure, and returns its output."""

    def call(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments), "--out", str(tmp_path)])
        example(name).main()
        said = capsys.readouterr().out
        (figure,) = tmp_path.rglob("*.png")
        assert f"Figure: {figure}" in said
        assert figure.stat().st_size > 10_000
        return said

    return call


class Parts:
    """The scripts of `reproduction` and the modules of `dim_training` as attributes, since they are not installed."""

    def __getattr__(self, name: str) -> ModuleType:
        inside = (REPRODUCTION / "dim_training" / f"{name}.py").exists()
        return importlib.import_module(f"dim_training.{name}" if inside else name)


@pytest.fixture(scope="session")
def parts() -> Iterator[Parts]:
    """Return the parts of the trainer by name, so that a call of a ``main`` needs no new interpreter."""
    sys.path.insert(0, str(REPRODUCTION))
    yield Parts()
    sys.path.remove(str(REPRODUCTION))


@pytest.fixture(scope="session")
def train_dim(parts: Parts) -> ModuleType:
    """Return the trainer's script as a module."""
    return parts.train_dim


@pytest.fixture(scope="session")
def trainer(parts: Parts) -> Callable[..., Any]:
    """Return a function that builds a trainer with the given options on a few digits, by default not augmented."""
    small = {
        "data": "digits", "train_images": 40, "test_images": 20, "batch": 8, "units": 8, "epochs": 1.0, "out": "unused",
        "views": 1, "pad": 0, "flip": False, "locations": 4, "device": "cpu", "bf16": False,
    }  # fmt: skip

    def build(**given: Any) -> Any:
        chosen = parts.resolving.resolve({**small, **given})
        return parts.trainer.Trainer(chosen, parts.data.load(chosen), torch.device("cpu"))

    return build


@pytest.fixture(scope="session")
def short_run() -> list[str]:
    """Return the options of a run of fifteen steps of 16 digits."""
    return [
        "--smoke", "--train-images", "80", "--batch", "16", "--epochs", "3", "--threads", "1", "--no-untrained",
        "--gamma", "0.1", "--seed", "5",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def whole(train_dim: ModuleType, short_run: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train_dim.main([*short_run, "--out", str(out), "--quick-probes", "3", "--untrained"]) == 0
    return out


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """Return a function that reads the rows of a CSV file."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def losses(rows: Callable[[Path], list[dict[str, str]]]) -> Callable[[Path], list[tuple[str, ...]]]:
    """Return a function that reads the metrics of a run from metrics.csv, without the times."""
    return lambda out: [(row["step"], row["loss"], row["mi"], row["prior"]) for row in rows(out / "metrics.csv")]


@pytest.fixture
def one_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that reads the script's error message, which must be one line besides the progress bar."""

    def read() -> str:
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        said = [line for line in lines if line and not line.startswith("training ")]
        assert len(said) == 1, said
        assert said[0].startswith("train_dim: error: ")
        return said[0]

    return read


@pytest.fixture
def at_step(train_dim: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Return a function that arranges a call at a given step of the training."""
    from dim_training.trainer import Trainer

    whole = Trainer.train_step

    def arrange(step: int, happens: Callable[[], object]) -> None:
        def train_step(trainer, index):
            if trainer.step == step:
                happens()
            return whole(trainer, index)

        monkeypatch.setattr(Trainer, "train_step", train_step)

    return arrange


@pytest.fixture
def full_disk(train_dim: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that simulates a full disk while a file whose name begins as given is written."""
    whole = Path.open

    class Full:
        def __init__(self, file):
            self.file, self.left = file, 100

        def write(self, data):
            self.file.write(data[: max(0, self.left)])
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return len(data)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

    def arrange(begins: str) -> None:
        def opened(path, mode="r", *given, **options):
            file = whole(path, mode, *given, **options)
            return Full(file) if path.name.startswith(begins) and mode[0] in "wa" else file

        monkeypatch.setattr(Path, "open", opened)

    return arrange
