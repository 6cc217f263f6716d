"""The directions of a loss on two vectors: one for a density, and one where only the scores are requested."""

from __future__ import annotations

import math

import pytest
import torch
from contracts.layouts import randn
from torch import Tensor

from infomax import Critic, InfoMaxLoss
from infomax.pairs import Pairing
from infomax.scores import DenseScores, PairScores, streamed

RHO = 0.9


class Exact(Critic):
    """The log density of y given x, where both are standard normal with correlation RHO."""

    is_density = True

    def __init__(self) -> None:
        super().__init__(1, 1)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> PairScores:
        def density(query: Tensor, key: Tensor) -> Tensor:
            variance = 1 - RHO**2
            return -((query - RHO * key).square().squeeze(-1) / variance + math.log(2 * math.pi * variance)) / 2

        return DenseScores(density, global_, local, pairing, floats_per_pair=4)


@pytest.mark.parametrize("estimator", ["leave_one_out", "club"])
def test_a_density_has_one_direction(estimator: str) -> None:
    """The other direction would use log q(y | x) as a density of x: 0.76 nats in closed form instead of 0.83."""
    x, noise = randn(2000, 1), randn(2000, 1, seed=1)
    y = RHO * x + math.sqrt(1 - RHO**2) * noise
    both, one = (
        InfoMaxLoss(1, 1, critic=Exact(), estimator=estimator, symmetric=symmetric).mutual_information(x, y)
        for symmetric in (True, False)
    )
    assert torch.equal(both, one)
    assert both > 0.8


@pytest.mark.parametrize("estimator", ["leave_one_out", "club"])
def test_a_density_of_y_given_another_y_is_refused(estimator: str) -> None:
    with pytest.raises(ValueError, match=r"same_side must be False where the estimator is .*: it needs log d"):
        InfoMaxLoss(1, 1, critic=Exact(), estimator=estimator, same_side=True)


def test_scores_alone_are_reduced_in_one_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    both_ways = streamed.ops.pairwise_both_ways

    def counted(*args: object, **options: object) -> object:
        calls.append(1)
        return both_ways(*args, **options)

    monkeypatch.setattr(streamed.ops, "pairwise_both_ways", counted)
    loss_fn = InfoMaxLoss(3, 3).double()
    x, y = randn(5, 3), randn(5, 3, seed=1)
    nats = loss_fn.estimator.mutual_information(loss_fn.scores(x, y))
    assert not calls
    assert torch.allclose(nats, InfoMaxLoss.mutual_information(_one_way(loss_fn), x, y))
    loss_fn(x, y)
    assert calls


def _one_way(loss_fn: InfoMaxLoss) -> InfoMaxLoss:
    one = InfoMaxLoss(3, 3, symmetric=False).double()
    one.load_state_dict(loss_fn.state_dict())
    return one
