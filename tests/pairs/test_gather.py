"""A batch split over two processes with gathered negatives is the batch of one process: loss, estimate, gradients."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def run_processes(folder: Path) -> list[dict[Any, Any]]:
    """What each of the processes finds; they meet through a file, so no port is taken."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                str(HERE / "ranks.py"),
                str(rank),
                str(WORLD),
                str(folder / "init"),
                str(folder / f"{rank}.pt"),
            ],
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
    found: dict[str, Tensor] = ranks.outcome(ranks.build(case), ranks.whole_batch(case), case)
    return found


def test_two_processes_are_one(tmp_path: Path) -> None:
    """All that a group of processes can show, in one test: starting them is what takes the time."""
    results = run_processes(tmp_path)
    failures = []
    for case in ranks.CASES:
        try:
            check_split_batch(single(case), [found[tuple(case)] for found in results])
        except AssertionError as error:
            failures.append(f"{case}: {error}")
    assert not failures, "\n".join(failures)
    check_split_batch(single(ranks.CASES[0]), [found["ddp"] for found in results])
    for found in results:
        assert found["rows"].tolist() == [[0.0, 0.0]] + [[1.0, 1.0]] * 4, "rows come in the order of ranks"
        assert (found["aliased"] == 2 * 2 * 3).all(), "a gradient that serves elsewhere is left alone"
        assert found["collectives"] == 5, "sizes, two batch norms, keys, reductions"
        assert found["globals differ"].startswith("ValueError: global_ must have the same number of locations on every")
        assert found["globals differ"].endswith("got [1, 2]")
        assert found["one in all"].startswith(
            "ValueError: local must hold at least 2 examples over all processes, got 1"
        )
        assert found["table"].startswith("TypeError: scores must be streamed or dense to gather negatives, got TableS")
    for found in results:
        large = found["large batch"]
        assert large["travels"] == 1, "an encoder in DistributedDataParallel communicates in the last chunk alone"
        assert torch.allclose(large["loss"], large["expected loss"], rtol=1e-12)
        for gradient, expected in zip(large["gradients"], large["expected"], strict=True):
            assert expected.any()
            assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14)
        for gathered, alone in found["none on a rank"]:
            assert torch.allclose(gathered, alone, rtol=1e-5)
        assert found["one pair in all"].startswith("ValueError: local must hold at least 2 examples over all processes")
    assert results[0]["group on one rank"].startswith("ValueError: group must be None with gather=True")
    assert "rank 0 raised an error" in results[1]["group on one rank"]
    assert results[0]["wrong on one rank"].startswith(
        "RuntimeError: gather=True needs the features of every process, and"
    )
    assert "rank 1 raised an error" in results[0]["wrong on one rank"]
    assert results[1]["wrong on one rank"].startswith("ValueError: local must have 3 channels")
    assert results[0]["measured alone"].isfinite()


def test_without_a_process_group_it_changes_nothing() -> None:
    for case in (ranks.CASES[0], ranks.CASES[-1]):
        given = ranks.whole_batch(case)
        features = given.pop("local"), given.pop("global_")
        expected = ranks.build(case, gather=False)(*features, **given)
        assert torch.equal(ranks.build(case, gather=True)(*features, **given), expected)
    assert not LocalDIMLoss(3, 2, critic="bilinear").gather
