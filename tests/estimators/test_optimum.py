"""The optimal critic and the ceiling that an estimator declares, checked against its loss and its estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strategies
import torch
from contracts.layouts import LAYOUTS, features, randn, scores_in
from contracts.values import gaussian_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close
from torch import Tensor

from infomax import TUBA, InfoNCE, JensenShannon, ScoreRegularised
from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.estimators.build import names

NAMES = [name for name in names() if build_estimator(name).optimum is not None]
OTHERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "flatter": lambda best, ratio: 0.5 * (best - best.mean()) + best.mean(),
    "steeper": lambda best, ratio: 2.0 * (best - best.mean()) + best.mean(),
    "bent": lambda best, ratio: best + 0.5 * np.sin(3 * ratio),
}


def losses(name: str, critic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the losses of independent batches, each computed by a new estimator."""
    tables = gaussian_batches(0.4, 64, 80)
    return np.array([float(build_estimator(name)(F.dense_scores(torch.from_numpy(critic(t))))) for t in tables])


@pytest.mark.parametrize("name", NAMES)
def test_any_other_critic_has_a_higher_expected_loss(name: str) -> None:
    """The loss on the same Gaussian batches is higher by more than 3 standard errors of the difference."""
    slope, offset = build_estimator(name).optimum
    best = losses(name, lambda ratio: slope * ratio + offset)
    for what, other in OTHERS.items():
        more = losses(name, lambda ratio, other=other: other(slope * ratio + offset, ratio)) - best
        error = float(np.std(more, ddof=1)) / len(more) ** 0.5
        assert np.mean(more) > 3 * error, f"{what}: {np.mean(more):.4f} +- {error:.4f} above the optimum's loss"


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("nwj", "kl", "rkl", "hellinger", "gan", "jsd")])
@pytest.mark.parametrize("shift", [-0.4, 0.4])
def test_the_offset_is_part_of_it(name: str, shift: float) -> None:
    slope, offset = build_estimator(name).optimum
    best = losses(name, lambda ratio: slope * ratio + offset)
    more = losses(name, lambda ratio: slope * ratio + offset + shift) - best
    assert np.mean(more) > 3 * float(np.std(more, ddof=1)) / len(more) ** 0.5


@pytest.mark.parametrize("form", ["streamed", "tiles", "table"])
def test_optimal_scores_are_that_function_of_the_log_ratio(form: str) -> None:
    log_ratio = scores_in(form, *features(LAYOUTS[5]))
    for name in NAMES:
        slope, offset = build_estimator(name).optimum
        joint = build_estimator(name).optimal_scores(log_ratio).joint()
        assert_close(joint, slope * log_ratio.joint() + offset, 1e-12, name)


@pytest.mark.parametrize("name", sorted(set(names()) - set(NAMES)))
def test_without_one_log_ratios_are_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"cannot evaluate log density ratios: its optimal critic.*estimator='nwj' or 'dv'"
    ):
        build_estimator(name).optimal_scores(F.dense_scores(randn(4, 4)))


# --- ceilings -------------------------------------------------------------------------------------------------------


def negatives_of(table: Tensor) -> int:
    n, _, _, p = table.shape
    return (n - 1) * p


@settings(max_examples=60, deadline=None)
@given(strategies.tables(magnitude=60.0), st.floats(0.01, 1.0), st.floats(-5, 5))
def test_no_scores_pass_a_ceiling_of_the_number_of_negatives(table: Tensor, alpha: float, log_baseline: float) -> None:
    scores, negatives = F.dense_scores(table), negatives_of(table)
    infonce = InfoNCE()
    assert infonce.ceiling(negatives) == pytest.approx(math.log(1 + negatives))
    assert infonce.mutual_information(scores) <= infonce.ceiling(negatives) + 1e-9
    tuba = TUBA(alpha=alpha)
    assert tuba.mutual_information(scores, log_baseline=log_baseline) <= tuba.ceiling(negatives) + 1e-9


@settings(max_examples=100, deadline=None)
@given(strategies.tables(magnitude=60.0), st.sampled_from(names()), st.floats(0.05, 20.0), st.booleans())
def test_no_scores_pass_the_ceiling_of_a_clip(table: Tensor, name: str, clip: float, soft: bool) -> None:
    estimator, inner = ScoreRegularised(name, clip=clip, soft=soft).double(), build_estimator(name)
    ceiling = estimator.ceiling(negatives_of(table))
    assert ceiling <= inner.ceiling(negatives_of(table))
    assert math.isfinite(ceiling)
    assert estimator.mutual_information(F.dense_scores(table)) <= ceiling * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("name", ["dv", "jsd", "hellinger", "nwj", "infonce"])
def test_a_ceiling_is_no_higher_than_need_be(name: str) -> None:
    """A perfect critic with 39 negatives comes within a tenth of the ceiling of dv, jsd and hellinger."""
    perfect = F.dense_scores(200 * (2 * torch.eye(40, dtype=torch.float64) - 1))
    estimator = ScoreRegularised(name, clip=1.5, soft=False).double()
    nats, ceiling = float(estimator.mutual_information(perfect)), estimator.ceiling(39)
    assert nats <= ceiling + 1e-9
    if name in ("dv", "jsd", "hellinger"):
        assert nats > 0.9 * ceiling


def test_most_have_no_ceiling() -> None:
    for name in names():
        finite = math.isfinite(build_estimator(name).ceiling(10))
        assert finite == (name in ("infonce", "alpha_tuba")), name
    assert TUBA(alpha=1.0).ceiling(9) == pytest.approx(math.log(10))
    assert JensenShannon().ceiling(10) == math.inf
    assert ScoreRegularised("infonce", clip=None).ceiling(7) == pytest.approx(math.log(8))


def test_the_optimum_of_the_wrapped_one_is_kept() -> None:
    for name in names():
        wrapped: Any = ScoreRegularised(name, clip=None)
        assert wrapped.optimum == build_estimator(name).optimum
