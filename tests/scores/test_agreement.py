"""Streamed scores = a table of scores = tiles of pairs = float64 loops: value and both gradients, in every layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import oracles
import pytest
import score_tables
import strategies
import torch
from contracts.invariances import value_and_gradients
from contracts.layouts import (
    FORMS,
    LAYOUTS,
    Layout,
    features,
    like_rows,
    numpy_rows,
    randn,
    scores_in,
    small_workspace,
    some_mask,
    table_of,
)
from contracts.values import check_estimate, check_loss_and_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor

from infomax import Estimator, PairScores
from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.ops import use_workspace
from infomax.pairs import Pairing, pair_rows
from infomax.scores import ClippedScores, TableScores, streamed

MAP, SEVERAL_GLOBALS = LAYOUTS[3], LAYOUTS[5]

# Estimators with a moving average have a gradient that is not the gradient of their value.
NAMES = [name for name, oracle in ORACLES.items() if not oracle.averages]
CLIPPING = ["jsd", "nwj", "rkl", "chi2"]  # one per reduction
by_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
by_form = pytest.mark.parametrize("form", FORMS)
by_mask = pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])


@by_layout
@by_form
@by_mask
class TestAgainstLoops:
    def test_loss_and_gradients(self, layout: Layout, form: str, masked: bool) -> None:
        for name in NAMES:
            check_loss_and_gradients(
                build_estimator(name).double(), ORACLES[name].loss, layout, form, masked=masked, scale=0.7
            )

    def test_estimate(self, layout: Layout, form: str, masked: bool) -> None:
        for name, oracle in ORACLES.items():
            check_estimate(build_estimator(name).mutual_information, oracle.estimate, layout, form, masked=masked)


@by_layout
@by_mask
def test_a_sum_without_pairs(layout: Layout, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many queries, a sum is computed from vectors, without pairs.

    Here this path is taken for any number of queries.
    """
    monkeypatch.setattr(streamed, "_FEW_QUERIES", 0)
    rkl = build_estimator("rkl").double()
    check_loss_and_gradients(rkl, ORACLES["rkl"].loss, layout, "streamed", masked=masked, scale=0.7)


def clipped(loss: Callable[[PairScores], Tensor], clip: float) -> Callable[[PairScores], Tensor]:
    return lambda scores: loss(ClippedScores(scores, clip))


@by_form
@pytest.mark.parametrize("name", CLIPPING)
def test_clipped_loss(name: str, form: str) -> None:
    for clip in (0.5, 1.5):
        oracle = partial(ORACLES[name].loss, clip=clip)
        check_loss_and_gradients(clipped(build_estimator(name), clip), oracle, SEVERAL_GLOBALS, form, masked=True)


@by_form
@pytest.mark.parametrize("clip", [0.3, 5.0, None])
def test_smile_clips_its_marginal_scores_alone(form: str, clip: float | None) -> None:
    check_estimate(partial(F.smile_estimate, clip=clip), partial(oracles.smile_estimate, clip=clip), MAP, form)


# One loss per reduction, with the same loss in loops. Half of the losses apply a hard clip after the soft one.
SOFT: dict[str, tuple[Callable[[PairScores], Tensor], Callable[[score_tables.Pairs], complex]]] = {
    "infonce": (F.infonce_loss, oracles.infonce_loss),
    "jsd": (clipped(F.jsd_loss, 0.8), partial(oracles.jsd_loss, clip=0.8)),
    "nwj": (clipped(F.nwj_loss, 0.8), partial(oracles.nwj_loss, clip=0.8)),
    "wasserstein": (F.wasserstein_loss, oracles.wasserstein_loss),
    "chi2": (clipped(partial(F.fdivergence_loss, measure="chi2"), 0.8), partial(oracles.chi2_loss, clip=0.8)),
    "mean square": (F.mean_square, oracles.mean_square),
}


@by_form
@pytest.mark.parametrize("name", SOFT)
def test_softly_clipped_loss(name: str, form: str) -> None:
    ours, loops = SOFT[name]
    check_loss_and_gradients(
        lambda scores: ours(ClippedScores(scores, 1.2, soft=True)),
        lambda pairs: loops(oracles.softly_clipped(pairs, 1.2)),
        SEVERAL_GLOBALS,
        form,
        masked=True,
        scale=0.7,
    )


@by_form
@pytest.mark.parametrize("factor", [-2.0, 0.5, 0.0])
@pytest.mark.parametrize("soft", [False, True])
def test_clipped_scores_times_a_factor(soft: bool, factor: float, form: str) -> None:
    table = 3 * table_of(*features(MAP)).detach()
    inside = 1.2 * (table / 1.2).tanh() if soft else table.clamp(-1.2, 1.2)
    expected = ClippedScores(F.dense_scores(factor * inside), 1.0).reduce("logsumexp")
    with small_workspace(), torch.no_grad():
        scores = ClippedScores(scores_in(form, *features(MAP), scale=3.0), 1.2, soft=soft).scaled(factor)
        found = ClippedScores(scores, 1.0).reduce("logsumexp")
        assert_close(scores.joint(), F.dense_scores(factor * inside).joint(), 1e-12, "joint")
    for what, one, other in zip(("joint", "marginal"), found, expected, strict=True):
        assert_close(one, other, 1e-12, what)


@pytest.mark.parametrize("soft", [False, True])
def test_a_soft_clip_comes_first(soft: bool) -> None:
    clipped = ClippedScores(scores_in("streamed", *features(MAP)), 2.0, soft=soft)
    cut = ClippedScores(clipped, 1.0).reduce("sum")
    table = table_of(*features(MAP)).detach()
    inside = (2 * (table / 2).tanh() if soft else table).clamp(-1, 1)
    expected = F.dense_scores(inside).reduce("sum")
    assert_close(cut.joint, expected.joint, 1e-12)
    assert_close(cut.marginal, expected.marginal, 1e-12)
    with pytest.raises(ValueError, match=r"a soft clip must come before other clips, got .* at 2.0; apply it first"):
        ClippedScores(clipped, 1.0, soft=True).reduce("sum")


@by_form
@by_mask
def test_mine_has_the_value_of_dv_and_the_gradient_of_its_average(form: str, masked: bool) -> None:
    local, global_ = features(SEVERAL_GLOBALS)
    mask = some_mask(SEVERAL_GLOBALS) if masked else None
    average = torch.tensor(0.4, dtype=torch.float64)
    value, by_local, by_global = value_and_gradients(
        lambda a, b: F.mine_loss(scores_in(form, a, b, mask), average), local, global_
    )
    flat = None if mask is None else mask.numpy()
    x, y = numpy_rows(local), numpy_rows(global_)
    table = score_tables.dot_table(x, y)
    assert_close(value, oracles.dv_loss(score_tables.pairs_of(table, flat)).real, 1e-12, "value")
    _, gradient = score_tables.value_and_gradient(partial(oracles.mine_surrogate, log_average=0.4), table, flat)
    expected_local, expected_global = score_tables.dot_gradients(gradient, x, y)
    assert_close(by_local, like_rows(expected_local, local), 1e-12, "gradient of local")
    assert_close(by_global, like_rows(expected_global, global_), 1e-12, "gradient of global_")


@pytest.mark.parametrize("name", ["infonce", "jsd", "rkl", "chi2"])  # one per reduction
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision(name: str, dtype: torch.dtype) -> None:
    """Inputs count as exact after rounding. Scores, sums and the loss are float32, and gradients are rounded once."""
    for form in ("streamed", "table") if dtype == torch.float32 else ("streamed",):
        check_loss_and_gradients(build_estimator(name), ORACLES[name].loss, SEVERAL_GLOBALS, form, dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(strategies.features(), st.sampled_from(list(ORACLES)), st.floats(-1.5, 1.5))
def test_forms_agree_whatever_the_layout(drawn: strategies.Features, name: str, scale: float) -> None:
    """Any number of axes, any memory layout, masks, several globals, negative scales."""
    results = []
    for form in FORMS:
        estimator = build_estimator(name).double()

        def loss(local: Tensor, global_: Tensor, form: str = form, estimator: Estimator = estimator) -> Tensor:
            return estimator(scores_in(form, local, global_, drawn.mask, scale))

        with use_workspace(2**16):
            results.append((form, *value_and_gradients(loss, drawn.local, drawn.global_)))
    _, *expected = results[1]
    for form, *found in results:
        for what, one, other in zip(("loss", "gradient of local", "gradient of global_"), found, expected, strict=True):
            assert_close(one, other, 1e-9, f"{form}: {what} of {name}")


def test_the_tiles_are_many() -> None:
    """The comparison with tiles needs many of them."""
    sizes = []
    with use_workspace(2**16):
        scores = scores_in("tiles", *features(SEVERAL_GLOBALS))
        inner = scores.score  # type: ignore[attr-defined]

        def counted(query: Tensor, key: Tensor) -> Tensor:
            result = inner(query, key)
            sizes.append(result.numel())
            return result

        scores.score = counted  # type: ignore[attr-defined]
        with torch.no_grad():
            scores.reduce("logsumexp")
    assert len(sizes) > 10
    assert len(set(sizes)) > 1, "ragged ends are where tiles go wrong"


def test_a_table_leaves_out_rows_that_are_no_marginals() -> None:
    """Regression: `TableScores` summed over all rows, but divided by the number of rows that are marginal."""
    pairing = pair_rows(randn(3, 4, 2), randn(3, 5)).pairing
    some = Pairing(3, 1, pairing.key_example, locations=2, marginal_rows=torch.tensor([2, 3]))
    table = randn(3, 6)
    reduced = TableScores(table, some).reduce("sum")
    expected = torch.stack([table[0, 2:4].sum(), torch.zeros((), dtype=table.dtype), table[2, 2:4].sum()])
    assert_close(reduced.marginal, expected, 1e-12)
    assert_close(reduced.joint, TableScores(table, pairing).joint(), 0.0)
