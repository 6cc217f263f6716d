"""The example of a queue runs and ends in its figure and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # of matplotlib and scikit-learn


def test_smoke(example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("momentum_queue")
    monkeypatch.setattr(sys, "argv", ["momentum_queue.py", "--smoke", "--out", str(tmp_path)])
    module.main()
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    table = capsys.readouterr().out
    assert all(name in table for name in ("raw pixels", *module.WAYS))
