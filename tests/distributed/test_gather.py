"""A batch split over two processes with gathered negatives is the batch of one process: loss, estimate, gradients."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from contracts import check_split_batch
from torch import Tensor

from infomax import LocalDIMLoss

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("gather_ranks", HERE / "ranks.py")
assert _spec is not None
assert _spec.loader is not None
ranks = importlib.util.module_from_spec(_spec)
sys.modules["gather_ranks"] = ranks
_spec.loader.exec_module(ranks)
WORLD = len(ranks.SHARES)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    """What each of the processes found; they meet through a file, so no port is taken."""
    folder = tmp_path_factory.mktemp("group")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "ranks.py")]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(WORLD), str(folder / "init"), str(folder / f"{rank}.pt")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]
    try:
        outputs = [process.communicate(timeout=540)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(outputs)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORLD)]


def single(case: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = ranks.outcome(ranks.build(case), *ranks.whole_batch(case))
    return found


@pytest.mark.parametrize("case", ranks.CASES, ids=lambda case: "-".join(map(str, case)))
def test_two_processes_are_one(results: list[dict[Any, Any]], case: Any) -> None:
    check_split_batch(single(case), [found[tuple(case)] for found in results])


def test_distributed_data_parallel(results: list[dict[Any, Any]]) -> None:
    check_split_batch(single(ranks.CASES[0]), [found["ddp"] for found in results])


def test_rows_come_in_the_order_of_ranks(results: list[dict[Any, Any]]) -> None:
    for found in results:
        assert found["rows"].tolist() == [[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 3


def test_a_gradient_that_serves_elsewhere_is_left_alone(results: list[dict[Any, Any]]) -> None:
    for found in results:
        assert (found["aliased"] == 2 * 2 * 3).all()


def test_refusals(results: list[dict[Any, Any]]) -> None:
    for found in results:
        assert found["globals differ"].startswith("ValueError: global_ must have the same number of locations on every")
        assert found["globals differ"].endswith("got [1, 2]")
        assert found["table"].startswith("TypeError: scores must be streamed or dense to gather negatives, got TableS")


def test_without_a_process_group_it_changes_nothing() -> None:
    for case in (ranks.CASES[0], ranks.CASES[-1]):
        local, global_, mask = ranks.whole_batch(case)
        expected = ranks.build(case, gather=False)(local, global_, mask)
        assert torch.equal(ranks.build(case, gather=True)(local, global_, mask), expected)
    assert not LocalDIMLoss(3, 2, critic="bilinear").gather
