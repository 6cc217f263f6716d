"""A part of a gathered loss, compiled by itself, has the values and gradients of the plain part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import run_ranks


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Return the results of each process."""
    script = Path(__file__).with_name("gather_compiled_parts.py")
    return run_ranks(script, 2, tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("name", ["measured", "projection", "in place", "noise"])
def test_a_compiled_part_is_the_plain_one(results: list[dict], name: str) -> None:
    """The compiler once traced the exchange of batch norm, and failed on the group of the processes."""
    for found in results:
        for (case, examples), (said, values) in found.items():
            if case == name:
                assert said == "nothing was raised", examples
                for expected, value in zip(*values, strict=True):
                    torch.testing.assert_close(value, expected)
