"""The scripts of `examples`, and one run of the trainer, as several files of tests use them."""

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
    """A script of `examples` as a module, by its name."""
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
    """Run a script of `examples` by its name until it has drawn its figure; what it printed comes back."""

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
    """The scripts of `reproduction` and the modules of `dim_training`, each an attribute: they are no package."""

    def __getattr__(self, name: str) -> ModuleType:
        inside = (REPRODUCTION / "dim_training" / f"{name}.py").exists()
        return importlib.import_module(f"dim_training.{name}" if inside else name)


@pytest.fixture(scope="session")
def parts() -> Iterator[Parts]:
    """The trainer's parts by name: a call of a ``main`` costs no new interpreter."""
    sys.path.insert(0, str(REPRODUCTION))
    yield Parts()
    sys.path.remove(str(REPRODUCTION))


@pytest.fixture(scope="session")
def train_dim(parts: Parts) -> ModuleType:
    """The trainer's script."""
    return parts.train_dim


@pytest.fixture(scope="session")
def trainer(parts: Parts) -> Callable[..., Any]:
    """A trainer with the options given, on a few digits: one view of each, as it is."""
    small = {
        "data": "digits", "train_images": 40, "test_images": 20, "batch": 8, "units": 8, "epochs": 1.0, "out": "unused",
        "views": 1, "pad": 0, "flip": False, "locations": 4, "device": "cpu",
    }  # fmt: skip

    def build(**given: Any) -> Any:
        chosen = parts.resolving.resolve({**small, **given})
        return parts.trainer.Trainer(chosen, parts.data.load(chosen), torch.device("cpu"))

    return build


@pytest.fixture(scope="session")
def short_run() -> list[str]:
    """Fifteen steps of 16 digits."""
    return [
        "--smoke", "--train-images", "80", "--batch", "16", "--epochs", "3", "--threads", "1", "--no-untrained",
        "--gamma", "0.1", "--seed", "5",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def whole(train_dim: ModuleType, short_run: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train_dim.main([*short_run, "--out", str(out), "--quick-probes", "3", "--untrained"]) == 0
    return out


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """The rows of a CSV file."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def losses(rows: Callable[[Path], list[dict[str, str]]]) -> Callable[[Path], list[tuple[str, ...]]]:
    """What metrics.csv says of a run, without the times."""
    return lambda out: [(row["step"], row["loss"], row["mi"], row["prior"]) for row in rows(out / "metrics.csv")]


@pytest.fixture
def one_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one line in which the script has said what is wrong, besides its progress bar."""

    def read() -> str:
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        said = [line for line in lines if line and not line.startswith("training ")]
        assert len(said) == 1, said
        assert said[0].startswith("train_dim: error: ")
        return said[0]

    return read


@pytest.fixture
def at_step(train_dim: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Let something happen during training, at a step."""
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
    """Let the disk be full when a file whose name begins so is half written."""
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
