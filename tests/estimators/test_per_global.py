"""The value of the loss for each global (``reduction="none"``), if the loss is a mean over globals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import score_tables
import torch
from contracts.layouts import FORMS, LAYOUTS, features, numpy_rows, scores_in, small_workspace, some_mask
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor

from infomax import FLO, Estimator, LocalDIMLoss, PairScores
from infomax import functional as F
from infomax.estimators import build_estimator

SEVERAL_GLOBALS = LAYOUTS[5]
REFUSED = ["dv", "mine", "tuba", "alpha_tuba"]
NAMES = [name for name in ORACLES if name not in REFUSED]
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "infonce": F.infonce_loss,
    "jsd": F.jsd_loss,
    "nwj": F.nwj_loss,
    "logistic": F.logistic_loss,
    "wasserstein": F.wasserstein_loss,
    "club": F.likelihood_loss,
    **{name: partial(F.fdivergence_loss, measure=name) for name in ("kl", "rkl", "hellinger", "chi2", "gan")},
}


def of_each_global(loss: Callable[..., complex], pairs: score_tables.Pairs) -> list[float]:
    """Return the value of the reference loops for each global."""
    return [
        loss(score_tables.Pairs([(s, o) for s, o in pairs.joint if o == owner], {owner: scores})).real
        for owner, scores in pairs.marginal.items()
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_each_value_is_that_of_the_loops(name: str, form: str) -> None:
    local, global_ = features(SEVERAL_GLOBALS)
    for mask in (None, some_mask(SEVERAL_GLOBALS)):
        table = score_tables.dot_table(numpy_rows(local), numpy_rows(global_), 0.7)
        pairs = score_tables.pairs_of(table, None if mask is None else mask.numpy())
        with small_workspace():
            found = build_estimator(name).double().per_global(scores_in(form, local, global_, mask, 0.7))
        assert_close(found, of_each_global(ORACLES[name].loss, pairs), 1e-12, name)
        assert all(grad.any() for grad in torch.autograd.grad(found.sum(), (local, global_)))


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_is_the_loss_where_globals_have_as_many_pairs(name: str) -> None:
    scores, estimator = scores_in("streamed", *features(SEVERAL_GLOBALS)), build_estimator(name).double()
    values = estimator.per_global(scores)
    assert_close(values.mean(), estimator(scores), 1e-12)
    assert values.unique().numel() == len(values)
    if name in FUNCTIONS:
        assert torch.equal(FUNCTIONS[name](scores, reduction="none"), values)


@pytest.mark.parametrize("estimator", [*(build_estimator(name) for name in REFUSED), FLO()], ids=lambda e: repr(e)[:12])
def test_a_loss_that_is_no_mean_over_globals_says_so(estimator: Estimator) -> None:
    scores = scores_in("table", *features(SEVERAL_GLOBALS))
    message = f"reduction='none' needs a loss that is a mean over globals, which that of {type(estimator).__name__} is"
    with pytest.raises(ValueError, match=message):
        estimator.per_global(scores)
    if not isinstance(estimator, FLO):
        refusal = f"reduction must be 'mean' where the estimator is {type(estimator).__name__}"
        with pytest.raises(ValueError, match=refusal):
            LocalDIMLoss(2, 2, estimator=estimator, critic="bilinear", reduction="none")


@pytest.mark.parametrize("loss", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_an_unknown_reduction_is_refused(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="reduction must be one of mean, none, got 'sum'"):
        loss(scores_in("table", *features(SEVERAL_GLOBALS)), reduction="sum")


def test_a_module_without_it_is_refused_at_once() -> None:
    class Plain(torch.nn.Module):
        def forward(self, scores: PairScores) -> Tensor:
            return -scores.joint().mean()

        def mutual_information(self, scores: PairScores) -> Tensor:
            return scores.joint().mean()

    assert LocalDIMLoss(2, 2, estimator=Plain(), critic="bilinear").double()(*features(SEVERAL_GLOBALS)).ndim == 0
    with pytest.raises(TypeError, match=r"estimator must offer per_global\(scores\) with reduction='none'"):
        LocalDIMLoss(2, 2, estimator=Plain(), critic="bilinear", reduction="none")


def test_one_of_your_own() -> None:
    class Hinge(Estimator):
        def forward(self, scores: PairScores) -> Tensor:
            return self.per_global(scores).mean()

        def estimate(self, scores: PairScores) -> Tensor:
            return scores.joint().mean()

        def per_global(self, scores: PairScores) -> Tensor:
            return scores.mean_per_global((1 - scores.joint()).relu())

    loss_fn = LocalDIMLoss(2, 2, estimator=Hinge, critic="bilinear", reduction="none").double()
    assert loss_fn(*features(SEVERAL_GLOBALS)).shape == (3, 2)
