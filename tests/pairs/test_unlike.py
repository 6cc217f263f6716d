"""Losses that differ between processes are refused on all of them, and the processes stay in step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pairs.gather_unlike import CASES
from processes import run_ranks

_SETTING = {
    "units": "critic",
    "critic": "critic",
    "scale": "critic",
    "estimator": "estimator",
    "estimator's option": "estimator",
    "estimator's parts": "estimator",
    "directions": "options",
    "sides": "options",
    "weight of a term": "options",
    "prior of a term": "options",
    "negatives": "options",
    "estimator's class": "estimator",
    "exact scale": "critic",
    "form": "loss",
    "dtype": "critic",
    "mode": "training mode",
    "mode, ring": "training mode",
    "mode of a part": "training mode",
    "autocast": "autocast",
    "kind": "loss",
    "method": "loss",
}
"""The setting that the message of each case names."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_ranks(Path(__file__).with_name("gather_unlike.py"), 2, tmp_path_factory.mktemp("unlike"))


@pytest.mark.parametrize("name", _SETTING)
def test_unlike_settings_are_refused_on_every_process(results: list[Any], name: str) -> None:
    for rank, found in enumerate(results):
        said, after = found[name]
        expected = f"ValueError: {_SETTING[name]} must be the same on every process with gather=True, but rank "
        assert said.startswith(f"{expected}{1 - rank} differs from rank {rank}, which has ")
        assert after == "nothing was raised"


def test_the_message_names_what_the_process_has(results: list[Any]) -> None:
    named = {name: [found[name][0].split("which has ")[1].split(";")[0] for found in results] for name in _SETTING}
    assert named["mode"] == ["train", "eval"]
    assert named["mode of a part"][1].startswith("eval in critic.local_projection")
    assert named["form"] == ["LocalDIMLoss, forward, gather=True", "LocalDIMLoss, forward, gather='ring'"]
    assert named["method"] == ["LocalDIMLoss, scores, gather=True", "LocalDIMLoss, mutual_information, gather=True"]
    assert named["estimator"] == ["InfoNCE(anchor=None)", "JensenShannon(read='dv')"]
    assert named["autocast"] == ["off", "torch.bfloat16"]
    for found in results:
        assert found["features"][0].startswith(
            "ValueError: local must have the same dtype on every process, got torch.f"
        )
        assert found["features"][0].endswith("got torch.float32, torch.float64 in the order of ranks")


def test_a_process_without_the_prior_term_is_noticed_in_its_next_call(results: list[Any]) -> None:
    for rank, place in enumerate(["the prior term", "the features of a loss"]):
        said, after = results[rank]["prior"]
        assert said.startswith("RuntimeError: gather=True needs the same calls of the loss in the same order on every ")
        assert f"while rank {rank} is at {place}, rank {1 - rank} is not" in said
        assert after == "nothing was raised"


def test_a_transform_on_one_process_is_refused_on_all(results: list[Any]) -> None:
    (alone, _), (inside, _) = (found["transformed"] for found in results)
    assert inside.startswith("NotImplementedError: gather=True has no torch.func transforms")
    assert "rank 1 raised an error" in alone


def test_every_case_is_checked() -> None:
    assert set(CASES) == {*_SETTING, "features", "prior", "transformed"}
