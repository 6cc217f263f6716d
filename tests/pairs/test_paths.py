"""Gathered gradients where rows are computed from each other; groups beside given negatives; an empty process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pairs.gather_paths import CASES, FORMS
from processes import run_ranks


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_ranks(Path(__file__).with_name("gather_paths.py"), 2, tmp_path_factory.mktemp("paths"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_a_path_between_rows_counts_once(results: list[Any], name: str, form: Any) -> None:
    """The gradients were wrong by up to 0.8 of their size: such a path was followed twice."""
    for found in results:
        for gathered, alone in zip(found[name][form], found[name][False], strict=True):
            torch.testing.assert_close(gathered, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_groups_that_repeat_beside_given_negatives(results: list[Any], form: Any) -> None:
    """This was an IndexError on one process, and the others lost the connection."""
    for found in results:
        losses = found["groups and negatives"]
        torch.testing.assert_close(losses[form], losses[False])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("critic", ["dot", "concat", "cosine"])
def test_a_process_without_examples_may_have_another_dtype(results: list[Any], critic: str, form: Any) -> None:
    for found in results:
        losses = found["empty under autocast"]
        torch.testing.assert_close(losses[critic, form], losses[critic, False], rtol=2e-2, atol=1e-2)
