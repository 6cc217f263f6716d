"""The comparison of MI estimators runs, and its table says what a method that cannot run lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mi, mi_methods

ROOT = Path(__file__).resolve().parents[2]
SAYS = {
    "mi": "mean |error|",
    "coverage": "holds the truth",
    "estimators": "leave_one_out",
    "trained": "best fresh",
}


@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--smoke"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert SAYS[name] in run.stdout


def test_a_method_that_is_not_there_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(x: np.ndarray, y: np.ndarray, seconds: float) -> mi_methods.Answer:
        raise mi_methods.MissingPeerError("no_such_package: No module named 'no_such_package'")

    answer = mi._ask(missing, np.zeros((2, 1)), np.zeros((2, 1)), 1.0)
    assert answer.nats is None
    assert answer.note == "skipped: no_such_package: No module named 'no_such_package'"


def test_another_process_says_what_it_lacks_and_is_ended_in_time() -> None:
    x = np.zeros((2, 1))
    with pytest.raises(mi_methods.MissingPeerError, match="no_such_package"):
        mi_methods._apart(len_of, "no_such_package")(x, x, 60.0)


def len_of(x: np.ndarray, y: np.ndarray) -> float:
    return float(len(x))


def test_a_method_over_its_time_on_two_tasks_in_a_row_is_asked_no_more() -> None:
    late, other, answered = {"note": "no answer within 60 s"}, {"note": "ValueError: no"}, {"note": ""}

    def given_up(*notes: dict[str, str]) -> bool:
        return mi._given_up("slow", [{"method": "slow", **note} for note in notes] + [{"method": "quick", **answered}])

    assert given_up(late, late)
    assert given_up(late, late, {"note": mi._NOT_ASKED.note})
    assert not given_up(late)
    assert not given_up(late, answered)
    assert not given_up(other, other)
