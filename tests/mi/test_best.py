"""The best estimate is near the truth where held-out critics alone read too low, and 0 for independent variables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma

from infomax import estimate_mi
from infomax.mi.reading.best import _at_none
from infomax.mi.reading.neighbours import Neighbourhoods, find_neighbourhoods, neighbour_terms
from infomax.mi.tasks import (
    Task,
    additive_noise,
    correlated_normal,
    dense_gaussian,
    independent,
    smoothed_uniform,
    student_t,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def terms(x: torch.Tensor, y: torch.Tensor, k: int, critic: object) -> torch.Tensor:
    rows = torch.arange(len(x))
    scores = critic(rows, rows[:, None]).squeeze(1)  # type: ignore[operator]
    (boxes,) = find_neighbourhoods(x, y, rows, rows, (k,), generator(), rows, scores)
    return neighbour_terms(boxes, critic)  # type: ignore[arg-type]


class TestNeighbours:
    @pytest.mark.parametrize("k", [3, 8])
    def test_without_a_critic_it_is_ksg(self, k: int) -> None:
        x, y = dense_gaussian(2, 2).sample(300, seed=0)
        distance = cKDTree(torch.cat([x, y], 1).numpy()).query(torch.cat([x, y], 1).numpy(), k + 1, p=np.inf)[0][:, -1]
        expected = digamma(k) + digamma(300)
        for side in (x.numpy(), y.numpy()):
            tree = cKDTree(side)
            counts = [
                len(tree.query_ball_point(row, r * (1 - 1e-12), p=np.inf))
                for row, r in zip(side, distance, strict=True)
            ]
            expected = expected - digamma(counts)  # the counts include the row itself
        found = terms(x, y, k, lambda rows, met: torch.zeros(met.shape, dtype=torch.float64))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)

    def test_with_the_log_ratio_it_is_right_where_ksg_is_not(self) -> None:
        dims, r = 8, 0.7
        x = torch.randn(2000, dims, dtype=torch.float64, generator=generator())
        y = r * x + math.sqrt(1 - r * r) * torch.randn(2000, dims, dtype=torch.float64, generator=generator(1))
        truth = -0.5 * dims * math.log(1 - r * r)

        def log_ratio(rows: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
            a, b = x[rows][:, None], y[met]
            return (-0.5 * math.log(1 - r * r) - (r * r * (a**2 + b**2) - 2 * r * a * b) / (2 * (1 - r * r))).sum(-1)

        assert float(terms(x, y, 5, log_ratio).mean()) == pytest.approx(truth, abs=0.1)
        assert float(terms(x, y, 5, lambda rows, met: torch.zeros(met.shape)).mean()) < truth - 0.8

    @pytest.mark.parametrize("nats", [6.0, 8.0])
    def test_a_sharp_critic_is_not_read_too_high_where_draws_miss_its_peaks(self, nats: float) -> None:
        """Regression: hardly any of 32 draws per box fell on the ridge x1 + x2 = y1.

        With 5 neighbours, 6 nats read as 9.4 and 8 nats as 15.9.
        """
        x = torch.randn(2000, 2, dtype=torch.float64, generator=generator())
        noise = math.exp(-nats) / math.sqrt(-math.expm1(-2 * nats))
        y = torch.randn(2000, 2, dtype=torch.float64, generator=generator(1))
        y[:, 0] = x.sum(1) / math.sqrt(2) + noise * y[:, 0]

        def log_ratio(rows: torch.Tensor, met: torch.Tensor) -> torch.Tensor:
            total, seen = (x[rows].sum(1) / math.sqrt(2))[:, None], y[met][..., 0]
            variance = 1 + noise**2
            ratio = 0.5 * (seen**2 / variance - ((seen - total) / noise) ** 2 + math.log(variance / noise**2))
            return ratio.clamp_min(-math.log(len(x)))  # bounded below, like the critic of a fold

        for k in (5, 20):
            assert float(terms(x, y, k, log_ratio).mean()) == pytest.approx(nats, abs=0.2)

    def test_values_that_repeat(self) -> None:
        levels = torch.randint(5, (1000, 1), generator=generator()).double()
        nothing = lambda rows, met: torch.zeros(met.shape, dtype=torch.float64)  # noqa: E731
        entropy = -sum(p * math.log(p) for p in (levels.flatten().long().bincount() / 1000).tolist())
        assert float(terms(levels, levels, 5, nothing).mean()) == pytest.approx(entropy, abs=0.02)
        other = torch.randint(5, (1000, 1), generator=generator(1)).double()
        assert float(terms(levels, other, 5, nothing).mean()) == pytest.approx(0.0, abs=0.02)

    def test_the_formula(self) -> None:
        table = torch.randn(30, 30, dtype=torch.float64, generator=generator())
        table[:10] *= 4  # a few draws have large ratios, so that the added term reaches its maximum
        terms, scores = (torch.randn(3, dtype=torch.float64, generator=generator(seed)) for seed in (1, 2))
        draws, distinct = torch.tensor([8, 40, 40]), torch.tensor([90, 7, 900])
        x_rows, y_rows = torch.arange(88) // 3, torch.randint(30, (88,), generator=generator(3))
        found = neighbour_terms(
            Neighbourhoods(terms, scores + 3, draws, distinct, x_rows, y_rows),
            lambda rows, met: table[rows[:, None], met],
        )
        expected, added = [], []
        for i, drawn in enumerate(torch.arange(88).split(draws.tolist())):
            ratios = [math.exp(table[x_rows[j], y_rows[j]]) for j in drawn.tolist()]
            mean, seen = np.mean(ratios), min(draws[i].item(), distinct[i].item())
            added.append(min(np.var(ratios, ddof=1) / mean**2 / (2 * seen), 0.25))
            score, term = scores[i].item() + 3, terms[i].item()
            peaks = max(0.0, math.exp(score) / max(math.exp(term), mean) - 1)
            expected.append(score + (term - math.log(mean) - added[-1]) / (1 + (8 * peaks / seen) ** 2))
        assert min(added) < 0.25 == max(added)
        np.testing.assert_allclose(found.numpy(), expected)


class TestAtNone:
    @pytest.mark.parametrize("dims", [1, 2, 3, 6])
    def test_what_is_missed_in_small_boxes_is_added(self, dims: int) -> None:
        of_20, of_5 = (torch.full((3,), 1 - 0.03 * k ** (2 / dims)) for k in (20, 5))
        torch.testing.assert_close(_at_none((20, 5), (of_20, of_5), dims), torch.ones(3))

    def test_many_coordinates_go_on_by_twice_the_difference_at_most(self) -> None:
        assert _at_none((20, 5), (torch.tensor([0.1]), torch.tensor([0.2])), 200).item() == pytest.approx(0.4)

    def test_labels_on_both_sides_have_no_box_that_shrinks(self) -> None:
        assert _at_none((20, 5), (torch.tensor([0.1]), torch.tensor([0.2])), 0).item() == pytest.approx(0.2)


def test_what_hides_among_many_coordinates_is_within_the_interval() -> None:
    """1,000 rows do not reveal 0.1 nats spread over 20 + 20 coordinates. The interval once ended at 0.008."""
    x, y = correlated_normal(*[0.1 / 20] * 20).sample(1000, seed=0)
    found = estimate_mi(x, y, random_state=0, max_steps=0, folds=2)
    assert found.low <= 0.1 <= found.high


@pytest.mark.parametrize(
    ("task", "rows", "seed"),
    [(correlated_normal(4.0), 1000, 4), (correlated_normal(4.0), 1000, 7), (smoothed_uniform(*[1 / 3] * 3), 10_000, 2)],
    ids=repr,
)
def test_errors_that_do_not_show_in_a_standard_error(task: Task, rows: int, seed: int) -> None:
    """The intervals once began at 4.01 and 4.02, above 4 nats, and ended at 0.99, below 1."""
    x, y = task.sample(rows, seed=seed)
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.low <= task.nats <= found.high


class TestBestEstimate:
    @pytest.mark.parametrize("dims", [1, 5])
    def test_independence_is_none(self, dims: int) -> None:
        values = []
        for seed in range(2):
            x, y = independent(dims, dims).sample(300, seed=seed)
            found = estimate_mi(x, y, random_state=seed, max_steps=0)
            assert found.low == 0.0
            values.append(found.nats)
        assert np.mean(values) <= 0.01

    def test_it_finds_what_critics_miss(self) -> None:
        """No closed form describes the edges of uniform noise, so the bound is too low.

        The estimate was once too low as well.
        """
        task = additive_noise(0.75)
        x, y = task.sample(1000, seed=10_000)
        found = estimate_mi(x, y, random_state=0, max_steps=20)
        assert found.bound < task.nats - 0.06
        assert found.bound_high < task.nats
        assert found.low < task.nats < found.high
        assert found.nats == pytest.approx(task.nats, abs=0.06)

    @pytest.mark.parametrize("task", [dense_gaussian(1, 1, 0.75), student_t(2, 2, 2)], ids=repr)
    def test_it_stays_where_the_bound_is_tight(self, task: object) -> None:
        x, y = task.sample(1000, seed=10_001)  # type: ignore[attr-defined]
        found = estimate_mi(x, y, random_state=1, max_steps=20)
        assert found.low < task.nats < found.high  # type: ignore[attr-defined]
        assert found.nats == pytest.approx(task.nats, abs=0.08)  # type: ignore[attr-defined]
