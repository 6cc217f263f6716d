"""Every target runs on its stored inputs and on inputs of hypothesis; the oracle refuses known bad calls."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fuzz import NAMES, oracle
from fuzz.corpus import FOUND, Record, stored
from fuzz.laws import check_laws
from fuzz.oracle import Finding, Refused, attempt, check_gradients
from fuzz.source import Source
from fuzz.targets import run
from infomax import LocalDIMLoss, functional

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", FOUND)
def test_corpus(name: str) -> None:
    inputs = stored(name)
    assert inputs
    for data in inputs:
        run(name, data)


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_call_gives_a_result(name: str) -> None:
    """Without bytes, every choice is the plain one; a target whose plain call is refused would test little."""
    assert run(name, b"")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_search(name: str) -> None:
    examples = 60 if name == "information" else 300

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=96))
    def search(data: bytes) -> None:
        run(name, data)

    search()


def returns(value: Any) -> Callable[[Tensor], Any]:
    def call(x: Tensor) -> Any:
        return value

    return call


def raises(error: Exception) -> Callable[[Tensor], Any]:
    def call(x: Tensor) -> Any:
        raise error

    return call


def warns(x: Tensor) -> None:
    import warnings

    warnings.warn("x is odd", stacklevel=1)


def spins(x: Tensor) -> None:
    while True:
        pass


def torchs_own(x: Tensor) -> Tensor:
    return x @ x


class Forgetful(nn.Module):
    """A loss that reads masked places, and without a mask reads the first example only."""

    def mutual_information(self, local: Tensor, global_: Tensor, mask: Tensor | None = None) -> Tensor:
        return local.mean() if mask is not None else local[0].mean()


class TestTheOracleRefuses:
    @pytest.mark.parametrize(
        "call",
        [
            returns(torch.tensor(float("nan"))),
            returns((torch.ones(2), {"a": torch.tensor([1.0, float("inf")])})),
            returns(float("nan")),
            raises(ValueError("x must be something")),  # not raised in the library
            raises(RuntimeError("x")),
            raises(KeyError("x")),
            warns,
            torchs_own,
        ],
    )
    def test_what_ends_badly(self, call: Callable[[Tensor], Any]) -> None:
        with pytest.raises(Finding):
            attempt(call, torch.ones(2, 3))

    def test_an_error_of_the_library_that_names_no_argument(self) -> None:
        with pytest.raises(Finding, match="must hold at least 2 examples"):
            attempt(lambda x: functional.dense_scores(x), torch.ones(1, 1))
        with pytest.raises(Refused):
            attempt(functional.dense_scores, torch.ones(1, 1))

    def test_a_letter_within_a_word_names_no_argument(self) -> None:
        """Once, `y` was found in "you" and `k` in "key"."""
        for name, message in (("y", "you must give more"), ("k", "the key is missing"), ("C", "expected a CPU")):
            assert not re.search(oracle._as_word(name), message)
        assert re.search(oracle._as_word("y"), "x and y must be vectors")
        assert re.search(oracle._as_word("feature"), "features must be finite")

    def test_a_hang(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fuzz.oracle.SECONDS", 0.1)
        with pytest.raises(Finding, match="more than 0 s of processor time"):
            attempt(spins, torch.ones(1))

    def test_much_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fuzz.oracle.MEBIBYTES", -1)
        with pytest.raises(Finding, match="MiB"):
            attempt(returns(None), torch.ones(1))

    def test_a_gradient_that_is_not_finite(self) -> None:
        x = torch.zeros(2, requires_grad=True)
        x.sqrt().sum().backward()
        with pytest.raises(Finding, match="gradient"):
            check_gradients([x], torch.zeros(()))

    def test_broken_laws(self) -> None:
        local, global_ = torch.arange(8.0).view(4, 2), torch.zeros(4, 2)
        with pytest.raises(Finding, match="masked places"):
            check_laws(Forgetful(), local, global_, {"mask": torch.arange(4) > 0}, local.mean())
        with pytest.raises(Finding, match="order of examples"):
            check_laws(Forgetful(), local, global_, {}, local[0].mean())
        loss = LocalDIMLoss(2, 2, critic="bilinear")
        check_laws(loss, local, global_, {}, loss.mutual_information(local, global_))

    def test_but_not_what_came_in_already(self) -> None:
        value = torch.tensor(float("nan"))
        assert attempt(returns(value), value) is value
        assert attempt(returns(torch.tensor(torch.inf)), torch.ones(1), infinite=True).isinf()


def test_bytes_are_read_once_and_then_all_is_plain() -> None:
    source = Source(bytes([5, 250, 200]))
    assert source.choice("abc") == "c"
    assert source.rarely()
    assert source.likely("plain", ["other"]) == "other"
    assert not source.rarely()
    assert source.likely("plain", ["other"]) == "plain"
    assert source.seed() == 0


def test_a_record_keeps_the_shortest_input_of_each_place(tmp_path: Path) -> None:
    record = Record("losses", tmp_path)
    for data in (b"long", b"s", b"longer"):
        record.found("here", "what happened", data)
    record.ended(True)
    assert record.findings == {"here": {"times": 3, "message": "what happened", "input": b"s".hex()}}
    assert (tmp_path / "record.json").exists()


def test_without_atheris_the_command_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "atheris.py").write_text("raise ImportError('none here')")
    command = [sys.executable, "-m", "tests.fuzz", "prior", "--minutes", "0.01"]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}", "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install atheris" in done.stderr
    assert "pytest tests/fuzz -m slow" in done.stderr
