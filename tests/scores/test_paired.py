"""Scores that are given as pairs, and the shifts and factors that every form of scores offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pytest
import score_tables
import torch
from contracts.layouts import FORMS, LAYOUTS, features, randn, scores_in, small_workspace, some_mask
from oracles import ORACLES
from tolerances import RELATIVE, assert_close
from torch import Tensor

from infomax import PairScores
from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.ops.problem import REDUCTIONS
from infomax.scores import ClippedScores

SEVERAL_GLOBALS = LAYOUTS[5]


def pairs_of(joint: np.ndarray, marginal: np.ndarray) -> score_tables.Pairs:
    return score_tables.Pairs(
        [(complex(score), (i, 0)) for i, score in enumerate(joint)],
        {(i, 0): [complex(score) for score in row] for i, row in enumerate(marginal)},
    )


def by_steps(loss: Callable[[score_tables.Pairs], complex], joint: Tensor, marginal: Tensor) -> tuple[np.ndarray, ...]:
    """Return the gradients of the loops, by complex steps."""
    found = []
    for which in (0, 1):
        arrays = [joint.detach().numpy().astype(complex), marginal.detach().numpy().astype(complex)]
        gradient = np.zeros(arrays[which].shape)
        for index in np.ndindex(gradient.shape):
            stepped = [array.copy() for array in arrays]
            stepped[which][index] += 1e-30j
            gradient[index] = loss(pairs_of(*stepped)).imag / 1e-30
        found.append(gradient)
    return tuple(found)


@pytest.mark.parametrize("name", ORACLES)
def test_paired_scores_against_loops(name: str) -> None:
    oracle = ORACLES[name]
    joint, marginal = randn(5).requires_grad_(), randn(5, 3, seed=1).requires_grad_()
    estimator, pairs = build_estimator(name).double(), pairs_of(joint.detach().numpy(), marginal.detach().numpy())
    nats = estimator.mutual_information(F.paired_scores(joint, marginal))
    assert_close(nats, oracle.estimate(pairs).real, 1e-12, "estimate")
    loss = estimator(F.paired_scores(joint, marginal))
    if name == "alpha_tuba":  # the call above has updated the baseline with this batch
        log_a = float(estimator.baseline.read())
        assert_close(loss, -oracles.alpha_tuba_estimate(pairs, 0.5, lambda owner: log_a).real, 1e-12, "loss")
    else:
        assert_close(loss, oracle.loss(pairs).real, 1e-12, "loss")
    if not oracle.averages:
        expected = by_steps(oracle.loss, joint, marginal)
        found = torch.autograd.grad(loss, (joint, marginal), materialize_grads=True)
        for what, ours, theirs in zip(("joint", "marginal"), found, expected, strict=True):
            assert_close(ours, theirs, 1e-12, f"gradient of {what} scores")


def test_paired_scores_are_a_table_read_row_by_row() -> None:
    table = randn(6, 6)
    others = table[~torch.eye(6, dtype=torch.bool)].view(6, 5)
    paired, dense = F.paired_scores(table.diagonal(), others), F.dense_scores(table)
    for reduction in REDUCTIONS:
        for one, other in zip(paired.reduce(reduction), dense.reduce(reduction), strict=True):
            assert_close(one, other, 1e-12, reduction)
    assert torch.equal(paired.count(), dense.count())
    assert_close(F.infonce_loss(paired, reduction="none"), F.infonce_loss(dense, reduction="none"), 1e-12)


def test_dtypes_of_paired_scores() -> None:
    for one, other, expected in (
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, torch.float16, torch.float32),
        (torch.float16, torch.float16, torch.float32),
    ):
        scores = F.paired_scores(torch.ones(4, dtype=one), torch.zeros(4, 2, dtype=other))
        assert {part.dtype for part in scores.reduce("logsumexp")} == {expected}


@pytest.mark.parametrize(
    ("joint", "marginal", "error", "message"),
    [
        (torch.zeros(3), torch.zeros(4, 2), ValueError, r"shapes \(n,\) and \(n, K\), got \(3,\) and \(4, 2\)"),
        (torch.zeros(3), torch.zeros(3), ValueError, r"got \(3,\) and \(3,\)"),
        (torch.zeros(3, 1), torch.zeros(3, 2), ValueError, r"got \(3, 1\) and \(3, 2\)"),
        (torch.zeros(3), torch.zeros(3, 0), ValueError, r"got \(3,\) and \(3, 0\)"),
        (torch.zeros(0), torch.zeros(0, 2), ValueError, r"got \(0,\) and \(0, 2\)"),
        (torch.zeros(3).long(), torch.zeros(3, 2), TypeError, "joint must have a real floating dtype.*int64"),
        (torch.zeros(3), [[0.0]] * 3, TypeError, "marginal must be a torch.Tensor, got list"),
        (
            torch.zeros(3),
            torch.zeros(3, 2, device="meta"),
            ValueError,
            "same device, got joint on cpu, marginal on meta",
        ),
    ],
)
def test_refusals(joint: Any, marginal: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        F.paired_scores(joint, marginal)


# --- shifted and scaled ---------------------------------------------------------------------------------------------


def given(form: str, dtype: torch.dtype = torch.float64) -> PairScores:
    if form == "paired":
        return F.paired_scores(randn(5, dtype=dtype), randn(5, 3, seed=1, dtype=dtype))
    local, global_ = (tensor.detach() for tensor in features(SEVERAL_GLOBALS, dtype=dtype))
    return scores_in(form, local, global_, some_mask(SEVERAL_GLOBALS), 0.7)


def changed(form: str, change: Callable[[Tensor], Tensor]) -> PairScores:
    """Return the same scores as numbers, with a function applied to each."""
    if form == "paired":
        return F.paired_scores(change(randn(5)), change(randn(5, 3, seed=1)))
    table = torch.einsum("iqu,jpu->iqjp", *(part.flatten(2).mT for part in reversed(features(SEVERAL_GLOBALS))))
    return F.dense_scores(change(0.7 * table.detach()), some_mask(SEVERAL_GLOBALS))


CHANGES: dict[str, tuple[Callable[[PairScores], PairScores], Callable[[Tensor], Tensor]]] = {
    "shifted": (lambda s: s.shifted(1.3), lambda t: t + 1.3),
    "scaled": (lambda s: s.scaled(-0.4), lambda t: -0.4 * t),
    "scaled by 0": (lambda s: s.scaled(0.0), lambda t: 0.0 * t),
    "scaled, then shifted": (lambda s: s.scaled(2.0).shifted(-0.5), lambda t: 2 * t - 0.5),
    "shifted, then scaled": (lambda s: s.shifted(-0.5).scaled(2.0), lambda t: 2 * (t - 0.5)),
    "0, then shifted": (lambda s: s.scaled(0.0).shifted(0.8), lambda t: 0 * t + 0.8),
    "shifted, then clipped": (lambda s: ClippedScores(s.shifted(0.6), 1.0), lambda t: (t + 0.6).clamp(-1, 1)),
    "clipped, then scaled": (lambda s: ClippedScores(s, 1.0).scaled(-3.0), lambda t: -3 * t.clamp(-1, 1)),
}


@pytest.mark.parametrize("form", [*FORMS, "paired"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_form_shifts_and_scales_every_score(change: str, form: str) -> None:
    ours, theirs = CHANGES[change]
    with small_workspace():
        for reduction in REDUCTIONS:
            found, expected = ours(given(form)).reduce(reduction), changed(form, theirs).reduce(reduction)
            assert_close(found.joint, expected.joint, 1e-12, f"joint scores with {reduction}")
            assert_close(found.marginal, expected.marginal, 1e-11, reduction)
        assert_close(ours(given(form)).joint(), changed(form, theirs).joint(), 1e-12, "joint scores alone")
        assert torch.equal(ours(given(form)).count(), changed(form, theirs).count())


def test_a_shift_of_half_precision_rows_is_not_rounded() -> None:
    """bfloat16 rounds 100.3 to 100.5, so the constant must not be stored in a row of that dtype."""
    local, global_ = (tensor.detach() for tensor in features(SEVERAL_GLOBALS, dtype=torch.bfloat16))
    scores = F.dot_scores(local, global_)
    for reduction in ("logsumexp", "sum"):
        moved, still = scores.shifted(100.3).reduce(reduction), scores.reduce(reduction)
        times = scores.count() if reduction == "sum" else 1.0
        assert_close(moved.marginal, still.marginal + 100.3 * times, RELATIVE[torch.float32], reduction)
        assert_close(moved.joint, still.joint + 100.3, RELATIVE[torch.float32], "joint")


def test_clipped_scores_refuse_a_shift() -> None:
    clipped = ClippedScores(given("table"), 1.0)
    assert clipped.shifted(0.0) is clipped
    with pytest.raises(NotImplementedError, match="clipped scores cannot be shifted; shift them first, then clip"):
        clipped.shifted(1.0)


def test_a_half_table_is_widened_before_it_is_shifted_or_scaled() -> None:
    table = torch.full((3, 3), 300.0, dtype=torch.bfloat16)
    assert F.dense_scores(table).shifted(1.0).joint().tolist() == [301.0] * 3
    assert (
        F.dense_scores((4e4 * torch.eye(3)).half()).scaled(2.0).joint().tolist()
        == [float(torch.tensor(4e4).half()) * 2] * 3
    )
