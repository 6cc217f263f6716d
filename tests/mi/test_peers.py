"""The estimators of other libraries, as `docs/migrating.md` writes them: both libraries estimate the same number."""

from __future__ import annotations

import math

import pytest
import torch
from peers import peer
from torch import Tensor

from infomax import estimate_mi
from infomax.mi.tasks import beyond_normal

TRUTH = -math.log(0.6)  # the MI of normals with correlation 0.8

pytestmark = pytest.mark.filterwarnings("default")  # warnings of the other libraries


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    draws = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return draws[0], 0.8 * draws[0] + 0.6 * draws[1]


@pytest.fixture(scope="module")
def ours(pair: tuple[Tensor, Tensor]) -> float:
    found = estimate_mi(*pair, random_state=0, max_steps=0).nats
    assert abs(found - TRUTH) < 0.08
    return found


@pytest.mark.slow
def test_scikit_learn(pair: tuple[Tensor, Tensor], ours: float) -> None:
    x, y = (side.numpy() for side in pair)
    (theirs,) = peer("sklearn.feature_selection").mutual_info_regression(x[:, None], y, random_state=0)
    assert abs(ours - theirs) < 0.1


@pytest.mark.slow
def test_infomeasure(pair: tuple[Tensor, Tensor], ours: float) -> None:
    infomeasure = peer("infomeasure")
    x, y = (side.numpy() for side in pair)
    assert abs(ours - infomeasure.mutual_information(x, y, approach="ksg", k=4)) < 0.1


@pytest.mark.slow
def test_infomeasure_of_labels() -> None:
    """infomeasure gives the plug-in estimate of two columns of labels; ours is read on held-out rows."""
    infomeasure = peer("infomeasure")
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(4, (2000,), generator=generator)
    y = torch.where(torch.rand(2000, generator=generator) < 0.7, x, torch.randint(4, (2000,), generator=generator))
    theirs = infomeasure.mutual_information(x.numpy(), y.numpy(), approach="discrete")
    found = estimate_mi(x, y, discrete="both", random_state=0, max_steps=0)
    assert abs(found.nats - theirs) < 0.06


def test_tasks_of_benchmark_mi() -> None:
    """Our 40 tasks have the same names and the same information as those of benchmark-mi."""
    theirs = peer("bmi").benchmark.BENCHMARK_TASKS
    ours = beyond_normal()
    assert set(ours) == set(theirs)
    for name, task in ours.items():
        assert task.nats == pytest.approx(float(theirs[name].mutual_information), abs=2e-3), name
        assert task.dims == (theirs[name].dim_x, theirs[name].dim_y), name


@pytest.mark.slow
def test_estimator_of_benchmark_mi(pair: tuple[Tensor, Tensor], ours: float) -> None:
    estimators = peer("bmi").estimators
    x, y = (side.numpy()[:1000, None] for side in pair)
    assert abs(ours - float(estimators.KSGEnsembleFirstEstimator(neighborhoods=(5,)).estimate(x, y))) < 0.1


@pytest.mark.slow
def test_torch_mist(pair: tuple[Tensor, Tensor], ours: float) -> None:
    """A network of torch_mist, trained on the same pairs."""
    mist = peer("torch_mist")
    torch.manual_seed(0)
    data = tuple(side.float()[:, None] for side in pair)
    theirs = mist.estimate_mi(data=data, estimator="smile", hidden_dims=[64], max_epochs=30, early_stopping=False)
    assert abs(ours - (theirs[0] if isinstance(theirs, tuple) else theirs)) < 0.25
