"""Two processes whose shares differ in kind agree with one process, or both raise an error; neither waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pairs.gather_cases import FSDP_ON_CPU
from pairs.gather_uneven import SHARES
from processes import run_ranks


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the results of each process.

    All tests share them, because starting the processes takes most of the time.
    """
    return run_ranks(Path(__file__).with_name("gather_uneven.py"), len(SHARES), tmp_path_factory.mktemp("uneven"))


def test_one_side_learns_on_one_rank(results: list[dict[str, Any]]) -> None:
    """Each direction of a symmetric loss has the backward exchanges that its own rows need."""
    for rank, of_rank in enumerate(results):
        found = of_rank["one_side_learns_on_one_rank"]
        for same_side, side, gather in found:
            loss, gradient = found[same_side, side, gather]
            expected_loss, expected = found[same_side, side, False]
            assert torch.allclose(loss, expected_loss, rtol=1e-12)
            assert (gradient is None) == (rank == 0 and bool(gather))
            assert gradient is None or torch.allclose(gradient, expected, rtol=1e-9)


def test_density_learns_on_one_rank(results: list[dict[str, Any]]) -> None:
    """If a loss refuses its input on one process, all processes raise an error in the same call."""
    first, second = (of_rank["density_learns_on_one_rank"] for of_rank in results)
    assert first["loss"].startswith("RuntimeError: gather=True needs the features of every process, and rank 1 raised")
    assert second["loss"].startswith("ValueError: global_ must have no gradient where the estimator is CLUB")
    assert first["gradient"] is None
    assert second["gradient"].any(), "the estimate of scores may be trained"


def test_negatives_without_an_example(results: list[dict[str, Any]]) -> None:
    for of_rank in results:
        found = of_rank["negatives_without_an_example"]
        for critic, gather in found:
            for part, expected in zip(found[critic, gather], found[critic, False], strict=True):
                assert torch.allclose(part, expected, rtol=1e-9)


def test_one_row_in_all(results: list[dict[str, Any]]) -> None:
    """A single row has no variance, whether over all processes or on one process."""
    of_ranks = [of_rank["one_row_in_all"] for of_rank in results]
    for rank, found in enumerate(of_ranks):
        for name in ("none elsewhere", "alone"):
            assert found[name].startswith("ValueError: batch norm in training mode needs at least 2 rows"), name
        assert found["no negatives"].startswith("ValueError: local must hold at least 2 examples over all processes")
        failed = found["failed elsewhere"]
        if rank == 1:
            assert failed.startswith("ValueError: negatives must have shape (L, 3)")
        else:
            assert failed.startswith("RuntimeError: gather=True needs the features of every process, and rank 1 raised")
        for name in ("none elsewhere", "failed elsewhere"):
            for key, buffer in found[f"{name}, statistics"].items():
                assert torch.equal(buffer, of_ranks[0][f"{name}, statistics"][key])


@pytest.mark.parametrize("weights", ["alpha", "beta"])
@pytest.mark.parametrize("masked", [False, True])
def test_no_example_for_the_prior(results: list[dict[str, Any]], weights: str, *, masked: bool) -> None:
    """The prior term of a process without examples is 0, and so are its gradients.

    The average over processes includes them.
    """
    for rank, of_rank in enumerate(results):
        found = of_rank["no_example_for_the_prior"]
        terms, gradients = found[(weights,), masked, False]
        assert all(gradient.any() for name, gradient in gradients.items() if "prior" in name)
        for gather in (True, "ring", *(["sharded"] if FSDP_ON_CPU else [])):
            of_all, averaged = found[(weights,), masked, gather]
            for term, expected in zip(of_all[:-1], terms[:-1], strict=True):
                assert torch.allclose(term, expected, rtol=1e-9)
            assert torch.allclose(of_all[-1], rank * terms[-1], rtol=1e-9)
            for name, expected in gradients.items():
                if "prior" in name:
                    assert torch.allclose(averaged[name], expected / 2, rtol=1e-9), name
                elif "loss_fn" in name:
                    assert torch.allclose(averaged[name], expected, rtol=1e-9), name


def test_prior_that_fails(results: list[dict[str, Any]]) -> None:
    """An error in the prior term of one process raises on all processes, in the same call."""
    first, second = (of_rank["prior_that_fails"] for of_rank in results)
    assert first.pop("mask").startswith("RuntimeError: gather=True needs the prior term of every process, and rank 1")
    assert second.pop("mask").startswith("ValueError: mask must have")
    assert len(first) == 3
    for weights, said in first.items():
        assert said.startswith("RuntimeError: gather=True needs the prior term of every process, and rank 1 raised an")
        assert second[weights] == "MemoryError: out of memory, say"


def test_groups_of_negatives_alone(results: list[dict[str, Any]]) -> None:
    for of_rank in results:
        assert of_rank["groups_of_negatives_alone"]["said"] == (
            "ValueError: group must be given on every process or on none, got none on rank 1"
        )


def test_rows_with_an_index(results: list[dict[str, Any]]) -> None:
    """The examples and groups arrive whole, whatever the dtype of the rows they travel with."""
    for of_rank in results:
        for (dtype, kind), (gathered, alone) in of_rank["rows_with_an_index"].items():
            assert torch.allclose(gathered, alone, rtol=1e-5), (dtype, kind)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_no_row_for_the_noise(results: list[dict[str, Any]], prior: str) -> None:
    for rank, of_rank in enumerate(results):
        found = of_rank["no_row_for_the_noise"]
        *of_rows, statistics = found[prior, True]
        *expected_rows, expected_statistics = found[prior, False]
        for rows, expected in zip(of_rows, expected_rows, strict=True):
            assert rows.shape == ((4 if rank == 1 else 0), 2, 3)
            assert rank == 0 or torch.allclose(rows, expected, rtol=1e-4, atol=1e-6)
        for name, buffer in statistics.items():
            assert torch.allclose(buffer, expected_statistics[name], rtol=1e-5)
        said = (
            "ValueError: y must hold at least 2 samples in training mode" if prior == "normal" else "nothing was raised"
        )
        assert found[prior, "one in all"].startswith(said)
