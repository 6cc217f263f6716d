"""A compiled step with a gathered loss has the loss and the gradients of the plain step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pairs.gather_compiled import BATCHES, LOSSES, WRAPPED
from processes import run_ranks

WORLD = 2
SCRIPT = Path(__file__).with_name("gather_compiled.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the processes of new losses."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[Any, Any]]:
    """Return the results of each process."""
    return run_ranks(SCRIPT, WORLD, folder)


def check(found: dict[Any, Any], cases: int) -> None:
    assert len(found) == cases * len(BATCHES)
    for case, (plain, compiled) in found.items():
        assert len(plain) == len(compiled) > 2, case
        for expected, value in zip(plain, compiled, strict=True):
            torch.testing.assert_close(value, expected, msg=lambda text, case=case: f"{case}: {text}")


def test_a_compiled_step_is_the_plain_one(results: list[dict[Any, Any]]) -> None:
    """Once, the compiled backward pass raised an error about donated buffers."""
    for found in results:
        check(found, len(LOSSES) + len(WRAPPED) + 3)


def test_no_exchange_is_left_to_the_compiler(results: list[dict[Any, Any]], folder: Path) -> None:
    assert results
    assert "unwaited" not in (folder / "said").read_text()


def test_a_loss_that_was_pickled(tmp_path: Path) -> None:
    """The constructor of a loss does not run where the loss is unpickled."""
    losses = {name: LOSSES[name]() for name in ("local", "prior alone")}
    torch.save(losses, tmp_path / "losses")
    for found in run_ranks(SCRIPT, WORLD, tmp_path, "losses"):
        check(found, len(losses) + 1)
