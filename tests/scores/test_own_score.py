"""User-defined score functions that do not return one number per pair, and critics that do not return scores."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import randn
from torch import Tensor, nn

from infomax import Critic, LocalDIMLoss, PairwiseCritic
from infomax import functional as F
from infomax.pairs import Pairing, pair_rows
from infomax.scores import ClippedScores, DenseScores


def dense(score: object, floats_per_pair: object = 4) -> DenseScores:
    rows = pair_rows(randn(5, 3), randn(5, 3, seed=1))
    return DenseScores(score, rows.global_, rows.local, rows.pairing, floats_per_pair=floats_per_pair)  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", ["logsumexp", "softplus", "sum", "square_sum"])
@pytest.mark.parametrize(
    ("score", "got"),
    [
        (lambda query, key: (query * key).sum(-1, keepdim=True), r"\(.*, 1\)"),
        (lambda query, key: query * key, r"\(.*, 3\)"),
        (lambda query, key: (query * key).sum(), r"\(\)"),
        (lambda query, key: 0.0, "float"),
    ],
)
def test_a_score_of_another_shape_is_refused(score: object, got: str, reduction: str) -> None:
    """Regression: the scores of the first function were read as those of other pairs.

    The Jensen-Shannon loss was 6.61 instead of 3.09.
    """
    with pytest.raises(ValueError, match=f"score must return one number per pair, .* got {got}; reduce the last axis"):
        dense(score).reduce(reduction)


def test_floats_per_pair_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="floats_per_pair must be at least 1, got 0"):
        dense(lambda query, key: (query * key).sum(-1), 0)


def test_a_soft_clip_is_asked_for_by_a_flag() -> None:
    with pytest.raises(TypeError, match="soft must be True or False, got str"):
        ClippedScores(F.dense_scores(torch.eye(3)), 1.0, soft="no")  # type: ignore[arg-type]


def test_a_function_is_no_module() -> None:
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got function; wrap a function in a Module"):
        PairwiseCritic(lambda local, global_: (local * global_).sum(1), 3, 3)  # type: ignore[arg-type]


class Table(Critic):
    """A critic that returns a tensor instead of scores."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.layer = nn.Linear(3, 3)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> Tensor:  # type: ignore[override]
        del pairing
        return self.layer(global_) @ local.T


def test_a_critic_that_returns_a_tensor_is_refused() -> None:
    loss_fn = LocalDIMLoss(3, 3, critic=Table()).double()
    for call in (loss_fn, loss_fn.scores, loss_fn.mutual_information):
        with pytest.raises(TypeError, match=r"score_rows must return infomax.scores.PairScores, got Tensor from Table"):
            call(randn(4, 3), randn(4, 3))
