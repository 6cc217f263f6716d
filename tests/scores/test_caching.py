"""Scores are computed once for all callers, but a result without a graph never serves a loss that needs one."""

from __future__ import annotations

import pytest
import torch
from contracts.layouts import FORMS, LAYOUTS, features, scores_in
from contracts.modules import check_estimate_first
from oracles import ORACLES
from torch import Tensor

from infomax.estimators import build_estimator
from infomax.ops.problem import REDUCTIONS
from infomax.scores import ClippedScores, DenseScores


@pytest.mark.parametrize("name", ORACLES)
def test_an_estimate_does_not_take_the_gradient_of_a_later_loss(name: str) -> None:
    check_estimate_first(build_estimator(name).double())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_reduction_is_computed_once(form: str, reduction: str) -> None:
    scores = scores_in(form, *features(LAYOUTS[3]))
    first = scores.reduce(reduction)
    assert scores.reduce(reduction) is first
    with torch.no_grad():
        assert scores.reduce(reduction) is first, "what has a graph serves without one"
    clipped = ClippedScores(scores, 0.5).reduce(reduction)
    assert clipped is not first
    assert not torch.equal(clipped.marginal, first.marginal)
    assert scores.reduce(reduction) is first, "what is clipped must not take its place"


def test_no_graph_does_not_serve_with_one() -> None:
    scores = scores_in("streamed", *features(LAYOUTS[3]))
    with torch.no_grad():
        assert not scores.reduce("logsumexp").marginal.requires_grad
    assert scores.reduce("logsumexp").marginal.requires_grad
    assert scores.reduce("logsumexp").joint.requires_grad


@pytest.mark.parametrize(("name", "passes"), [("infonce", 1), ("dv", 1), ("nwj", 1), ("mine", 1), ("jsd", 2)])
def test_loss_and_information_share_their_passes_over_the_pairs(name: str, passes: int) -> None:
    """Each distinct reduction is computed once, and the joint scores once in total."""
    inner = scores_in("tiles", *features(LAYOUTS[3]))
    pairs = 0

    def counted(query: Tensor, key: Tensor) -> Tensor:
        nonlocal pairs
        result = (query * key).sum(-1)
        pairs += result.numel()
        return result

    scores = DenseScores(counted, inner.query, inner.key, inner.pairing, floats_per_pair=3)
    estimator = build_estimator(name)
    estimator(scores)
    estimator.mutual_information(scores)
    table, joint = inner.query.shape[0] * inner.key.shape[0], inner.pairing.joint_keys
    assert pairs == passes * table + joint
