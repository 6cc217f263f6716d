"""Batch norms over two processes: whatever learns, and where, both take part in every exchange, or both raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pairs.gather_norms import SHARES
from processes import run_ranks

from infomax.pairs.processes import Processes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the results of each process.

    All tests share them, because starting the processes takes most of the time.
    """
    return run_ranks(Path(__file__).with_name("gather_norms.py"), len(SHARES), tmp_path_factory.mktemp("norms"))


def test_features_learn_on_one_rank_behind_a_frozen_critic(results: list[dict[str, Any]]) -> None:
    for rank, of_rank in enumerate(results):
        found = of_rank["frozen_critic"]
        for empty, side, gather in found:
            said, loss, gradient = found[empty, side, gather]
            _, expected_loss, expected = found[empty, side, False]
            assert said == "nothing was raised", (empty, side, gather)
            assert torch.allclose(loss, expected_loss, rtol=1e-9)
            assert (gradient is None) == (rank == 0 and bool(gather))
            assert gradient is None or torch.allclose(gradient, expected, rtol=1e-9)


def test_rows_learn_on_one_rank_before_noise(results: list[dict[str, Any]]) -> None:
    for rank, of_rank in enumerate(results):
        said, gradient = of_rank["noise_of_frozen_rows"][True]
        assert said == "nothing was raised"
        _, expected = of_rank["noise_of_frozen_rows"][False]
        assert (gradient is None) == (rank == 0)
        assert gradient is None or torch.allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_gradients_off_on_one_rank(results: list[dict[str, Any]]) -> None:
    """A backward pass needs all processes, so the call is refused on all of them."""
    for of_rank in results:
        for key, said in of_rank["gradients_off_on_one_rank"].items():
            if "nothing learns" in key or "after" in key:
                assert said == "nothing was raised", key
            else:
                assert said.startswith(
                    "ValueError: gradients must be on in every process or in none with gather=True, got rank 0 without"
                ), key


def test_a_critic_called_by_itself_holds_nothing(results: list[dict[str, Any]]) -> None:
    for of_rank in results:
        found = of_rank["critic_alone"]
        assert found["held"] == [0, 0, 0, 0]
        assert found["one row"].startswith("ValueError: batch norm in training mode needs at least 2 rows over all")
        assert found["statistics kept"]


def test_a_loss_built_to_train_alone_measures_all(results: list[dict[str, Any]]) -> None:
    """Its batch norms once used the rows of their own process, so the value was that of no batch."""
    for of_rank in results:
        found = of_rank["measured_together"]
        for name in ("local", "whole", "both"):
            for gather in (True, "ring"):
                together, whole, alone = found[name, gather]
                for one, other, own in zip(*map(_listed, (together, whole, alone)), strict=True):
                    assert torch.allclose(one, other, rtol=1e-9, atol=1e-12), name
                    assert not torch.allclose(one, own, rtol=1e-3), name
                assert found[name, gather, "as before"], name


def _listed(nats: Any) -> list[torch.Tensor]:
    return [nats] if isinstance(nats, torch.Tensor) else [each for each in nats if each is not None]


def test_a_norm_that_knows_no_other_process_measures_alone(results: list[dict[str, Any]]) -> None:
    for rank, of_rank in enumerate(results):
        found = of_rank["measured_together"]
        refusal = "ValueError: critic must not hold BatchNorm1d with gather=True"
        for name in ("training", "no running averages"):
            assert found[name].startswith(refusal)
            assert "call .eval()" in found[name]
        other = "RuntimeError: gather=True needs a measurement of every process, and rank 0 raised an error"
        assert found["on one rank"].startswith(other if rank else refusal)
        assert torch.allclose(*found["evaluation"], rtol=1e-9)


def test_a_call_within_a_call_is_part_of_it() -> None:
    processes = Processes()
    with processes.call():
        with processes.call():
            processes.single_row = True
        assert processes.calling
        assert processes.single_row
    assert not processes.calling
    assert not processes.single_row
