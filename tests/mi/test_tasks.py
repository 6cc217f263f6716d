"""Tasks: their information against formulas and averages that share no code with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from infomax.mi.tasks import additive_noise, beyond_normal, dense_gaussian, four_clouds, gaussian, more_tasks, student_t

# By benchmark-mi 0.1.3.
PUBLISHED = {
    "1v1-normal-0.75": 0.41333928659223396,
    "1v1-additive-0.1": 1.7094379663467407,
    "1v1-additive-0.75": 1 / 3,
    "1v1-bimodal-0.75": 0.41333928659223396,
    "student-identity-1-1-1": 0.22417142752923613,
    "student-identity-2-2-1": 0.43194562200144127,
    "asinh-student-identity-3-3-2": 0.29092192268276484,
    "student-identity-5-5-3": 0.29854362265275824,
    "swissroll_x-normal_cdf-1v1-normal-0.75": 0.41333928659223396,
    "multinormal-dense-50-50-0.5": 1.6242653743036897,
    "spiral-normal_cdf-multinormal-sparse-25-25-2-2.0": 1.0216512475319774,
}


def test_names_and_information_are_those_published() -> None:
    tasks = beyond_normal()
    assert len(tasks) == 40
    assert {name: tasks[name].nats for name in PUBLISHED} == pytest.approx(PUBLISHED, rel=1e-6)


@pytest.mark.parametrize("task", [*beyond_normal().values(), *more_tasks().values()], ids=lambda task: task.name)
def test_samples_have_the_dimensions_named_and_a_seed_of_their_own(task) -> None:
    x, y = task.sample(20, seed=1)
    assert (x.shape, y.shape) == ((20, task.dims[0]), (20, task.dims[1]))
    assert x.isfinite().all()
    assert y.isfinite().all()
    assert torch.equal(task.sample(20, seed=1)[0], x)
    assert not torch.equal(task.sample(20, seed=2)[0], x)


def test_student_t_is_the_mean_of_scipys_log_density_ratio() -> None:
    task = student_t(2, 1, dof=3)
    x, y = task.sample(40_000, seed=0)
    densities = [
        stats.multivariate_t(shape=np.eye(part.shape[1]), df=3).logpdf(part.numpy())
        for part in (torch.cat([x, y], 1), x, y)
    ]
    ratio = densities[0] - densities[1] - densities[2]
    assert task.nats == pytest.approx(ratio.mean(), abs=4 * ratio.std() / 200)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.75])
def test_additive_noise_is_the_entropy_of_the_sum_less_that_of_the_noise(epsilon: float) -> None:
    y = np.linspace(-epsilon, 1 + epsilon, 200_001)
    density = (np.minimum(1, y + epsilon) - np.maximum(0, y - epsilon)) / (2 * epsilon)
    inner = density[density > 0]
    entropy = -(inner * np.log(inner)).sum() * (y[1] - y[0])
    assert additive_noise(epsilon).nats == pytest.approx(entropy - math.log(2 * epsilon), abs=1e-4)


def test_a_mixture_says_how_well_it_knows() -> None:
    task = four_clouds()
    assert 0 < task.error < 0.01
    sign = torch.tensor([[0.45, 0.05], [0.05, 0.45]])  # which clouds, without their width: a little more
    ceiling = float((sign * (sign / 0.25).log()).sum())
    assert ceiling - 0.08 < task.nats < ceiling


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="positive definite"):
        gaussian(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), 1)
    with pytest.raises(ValueError, match="dim_x must be between 1 and 1"):
        gaussian(torch.eye(2), 2)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        dense_gaussian(1, 1).sample(0, seed=0)
