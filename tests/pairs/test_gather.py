"""Three processes with gathered negatives give the loss, estimate and gradients of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.limits import check_split_batch
from pairs import gather_cases
from pairs.gather_cases import CASES, FSDP_ON_CPU, SHARES, WRAPPED
from processes import run_ranks
from torch import Tensor

from infomax import LocalDIMLoss


def single(case: Any, ranks: tuple[int, ...] = (0, 1, 2)) -> dict[str, Tensor]:
    given = [gather_cases.share(rank, gather_cases.whole_batch(case)) for rank in ranks]
    batch = {name: torch.cat([part[name] for part in given]) for name in given[0]}
    found: dict[str, Tensor] = gather_cases.outcome(gather_cases.build(case), batch, case)
    return found


@pytest.mark.parametrize("which", ["some", pytest.param("every", marks=pytest.mark.slow)])
def test_three_processes_are_one(which: str, tmp_path: Path) -> None:
    """One test checks all results of the processes, because starting the processes takes most of the time."""
    results = run_ranks(Path(__file__).with_name("gather_ranks.py"), len(SHARES), tmp_path, which)
    failures = []

    def compare(case: Any, *key: Any) -> None:
        try:
            check_split_batch(single(case), [found[(*key, tuple(case))] for found in results])
        except AssertionError as error:
            failures.append(f"{key} {case}: {error}")

    for gather in (True, "ring"):
        for case in gather_cases.chosen(which):
            compare(case, gather)
        for case in WRAPPED:
            compare(case, "ddp", gather)
            if FSDP_ON_CPU:
                compare(case, "fsdp", gather)
        of_two = [found["group", gather] for found in results[1:]]
        check_split_batch(single(CASES[0], (1, 2)), of_two)
        assert results[0]["group", gather] == "ValueError: process_group must hold this process, got a group of others"
    assert not failures, "\n".join(failures)
    for found in results:
        assert found["rows"].tolist() == [[0.0, 0.0]] + [[1.0, 1.0]] * 3 + [[2.0, 2.0]], "rows in the order of ranks"
        assert (found["aliased"] == 2 * 2 * 3).all(), "a gradient that serves elsewhere is left alone"
        assert found["collectives", True] == [5] * 5, "two batch norms, sizes, keys, reductions"
        # Two batch norms, sizes, keys of two others, reductions. The examples and groups of rows are one more.
        assert found["collectives", "ring"] == [6, 7, 7, 7, 7]
        assert found["globals differ"].startswith("ValueError: global_ must have the same number of locations on every")
        assert found["globals differ"].endswith("got [1, 2, 3]")
        assert found["one in all"].startswith(
            "ValueError: local must hold at least 2 examples over all processes, got 1"
        )
        assert found["table"].startswith("TypeError: scores must be streamed or dense to gather negatives, got TableS")
        large = found["large batch"]
        assert large["travels"] == 1, "an encoder in DistributedDataParallel communicates in the last chunk alone"
        assert torch.allclose(large["loss"], large["expected loss"], rtol=1e-12)
        sharded_gradients = large["gradients"]
        if FSDP_ON_CPU:
            assert torch.allclose(large["sharded loss"], large["expected loss"], rtol=1e-12)
            sharded_gradients = large["sharded"]
        for *gradients, expected in zip(large["gradients"], sharded_gradients, large["expected"], strict=True):
            assert expected.any()
            assert all(torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14) for gradient in gradients)
        for gathered, alone in found["none on a rank"]:
            assert torch.allclose(gathered, alone, rtol=1e-5)
        assert found["group on one rank"] == (
            "ValueError: group must be given on every process or on none, got none on rank 1, 2"
        )
        assert found["one group in all"].startswith(
            "ValueError: group must hold at least two groups among the rows of all processes, got only"
        )
        assert found["one pair in all"].startswith("ValueError: local must hold at least 2 examples over all processes")
        for gradients in found["learning on one rank"]:
            for gathered in gradients[:2]:
                assert torch.allclose(gathered, gradients[2], rtol=1e-9)
        if FSDP_ON_CPU:
            own = found["own discriminator"]
            assert own["by itself"].startswith(
                "NotImplementedError: discriminator must not be sharded by itself where it is"
            )
            for sharded, plain in zip(own["as a part"], own["plain"], strict=True):
                assert torch.allclose(sharded, plain, rtol=1e-5, atol=1e-8)
        second = found["second derivative"]
        # Each process has the loss of the whole batch, so gradients are 3 times and their squares 9 times as large.
        assert torch.allclose(second["gathered"], 9 * second["expected"], rtol=1e-9)
        assert second["ring"].startswith("RuntimeError: gather='ring' has no second derivative")
    assert results[0]["measured alone"].isfinite()
    check_errors_reach_all(results)


def check_errors_reach_all(results: list[dict[Any, Any]]) -> None:
    """Check that a failure on one rank raises on all ranks, and that all ranks keep the same statistics."""
    for rank, found in enumerate(results):
        wrong = found["wrong on one rank"]
        assert wrong.startswith("ValueError: local must have 3 channels" if rank == 1 else "RuntimeError: gather=True")
        assert rank == 1 or "rank 1 raised an error" in wrong
        assert found["wrong on all"].startswith("ValueError: local must have 3 channels")
        for name, buffer in found["statistics"].items():
            assert torch.equal(buffer, torch.ones_like(buffer) if "var" in name else torch.zeros_like(buffer)), name
        for key, message in found["failing"].items():
            if key.endswith("statistics"):
                expected = results[0]["failing"][key]
                assert all(torch.equal(message[name], expected[name]) for name in expected), key
            elif rank == 1 and key.endswith("table"):
                assert message.startswith("TypeError: scores must be streamed or dense to gather"), key
            elif rank == 1:
                assert message == "RuntimeError: out of memory, say", key
            else:
                assert "rank 1 raised an error" in message, key
        late, seconds = found["late"]
        if rank == 1:
            assert late == "RuntimeError: out of memory, say"
        else:
            assert "imed out" in late, "in an encoder's backward pass, the timeout of the process group ends the wait"
            assert seconds < 30


def test_without_a_process_group_it_changes_nothing() -> None:
    for case in (CASES[0], CASES[-1]):
        given = gather_cases.whole_batch(case)
        features = given.pop("local"), given.pop("global_")
        expected = gather_cases.build(case, gather=False)(*features, **given)
        assert torch.equal(gather_cases.build(case, gather=True)(*features, **given), expected)
    assert not LocalDIMLoss(3, 2, critic="bilinear").gather
