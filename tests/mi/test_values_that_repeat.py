"""Counts, rounded numbers and labels: values repeat, and rows are equal by chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import digamma, exp1

from infomax import MIEstimate, estimate_mi
from infomax.mi import mutual_info
from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.input.columns import as_columns
from infomax.mi.input.groups import read_repeats
from infomax.mi.input.sides import as_side
from infomax.mi.reading.cells import cell_terms, excess
from infomax.mi.reading.places import places, ranks_without_ties

Pair = tuple[np.ndarray, np.ndarray]
N = 1000


def quick(x: object, y: object, seed: int = 0) -> MIEstimate:
    return estimate_mi(x, y, random_state=seed, max_steps=0)  # type: ignore[arg-type]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(rng: np.random.Generator, count: int, shape: int | tuple[int, int] = N) -> np.ndarray:
    return rng.integers(0, count, shape).astype(str)


INDEPENDENT: dict[str, Callable[[np.random.Generator], Pair]] = {
    "ages and numbers": lambda rng: (rng.integers(0, 90, N), rng.normal(size=N)),
    "90 and 50 levels": lambda rng: (rng.integers(0, 90, N), rng.integers(0, 50, N)),
    "one decimal": lambda rng: (rng.normal(size=N).round(1), rng.normal(size=N).round(1)),
    "counts": lambda rng: (rng.poisson(1, (N, 5)), rng.poisson(1, (N, 5))),
    "counts and a number": lambda rng: (rng.poisson(1, (N, 5)), rng.normal(size=N)),
    "answers": lambda rng: (rng.integers(0, 5, (N, 3)), rng.integers(0, 5, (N, 3))),
    "three levels": lambda rng: (rng.integers(0, 3, (N, 2)), rng.integers(0, 3, (N, 2))),
    "answers and yes or no": lambda rng: (rng.integers(0, 5, (N, 2)), rng.integers(0, 2, N) > 0),
    "labels": lambda rng: (labels(rng, 25), labels(rng, 25)),
    "labels, few rows": lambda rng: (labels(rng, 10, 300), labels(rng, 10, 300)),
    "columns of labels": lambda rng: (labels(rng, 5, (N, 2)), labels(rng, 5, (N, 2))),
}


class TestIndependent:
    """Regression: these read 0.06 to 0.88 nats, with an interval that excluded 0 and no flag."""

    @pytest.mark.parametrize("kind", INDEPENDENT)
    def test_the_interval_holds_0(self, kind: str) -> None:
        found = quick(*INDEPENDENT[kind](np.random.default_rng(1000)))
        assert found.low == 0.0
        assert found.nats < 0.02

    def test_columns_are_not_ranked_by_the_number_of_their_values(self) -> None:
        rng = np.random.default_rng(0)
        age, effect = rng.integers(0, 90, N), rng.normal(size=N)
        y = 0.3 * effect + rng.normal(size=N)
        found = mutual_info(np.stack([age, rng.integers(0, 18, N), effect], 1), y)
        assert found.argmax() == 2
        assert found[:2].max() < 0.5 * found[2]


class TestDependent:
    @pytest.mark.parametrize(("count", "kept", "rows"), [(3, 0.3, 300), (10, 0.5, N), (30, 0.5, N)])
    def test_labels(self, count: int, kept: float, rows: int) -> None:
        """A label of x is kept with this probability and drawn anew otherwise."""
        errors = []
        same, other = kept + (1 - kept) / count, (1 - kept) / count
        truth = math.log(count) + same * math.log(same) + (count - 1) * other * math.log(other)
        for seed in range(2):
            rng = np.random.default_rng(1000 + seed)
            x = rng.integers(0, count, rows)
            y = np.where(rng.uniform(size=rows) < kept, x, rng.integers(0, count, rows))
            errors.append(quick(x.astype(str), y.astype(str), seed).nats - truth)
        assert abs(np.mean(errors)) < 0.1

    def test_rounded_numbers(self) -> None:
        rng = np.random.default_rng(1000)
        x, noise = rng.normal(size=(2, N))
        found = quick(x.round(1), (0.8 * x + 0.6 * noise).round(1))
        assert found.low <= -0.5 * math.log(1 - 0.8**2) <= found.high

    def test_equal_labels(self) -> None:
        x = np.random.default_rng(1000).integers(0, 20, N).astype(str)
        assert quick(x, x).nats == pytest.approx(math.log(20), abs=0.02)


class TestFlags:
    @pytest.mark.parametrize("periods", [12, 15, 20])
    def test_most_of_the_estimate_is_from_neighbours(self, periods: int) -> None:
        """Regression: waves of a truth of 1.70 nats read 0.2 to 0.9 without a flag."""
        rng = np.random.default_rng(0)
        x = rng.uniform(size=N)
        found = quick(x, np.sin(2 * np.pi * periods * x) + 0.1 * rng.normal(size=N))
        assert found.saturated
        assert "nearest neighbours find" in found.doubts[0]


class TestRanksWithoutTies:
    def test_only_equal_values_change_their_order(self) -> None:
        values = torch.randint(4, (50,), generator=generator()).double()
        ranks = ranks_without_ties(values, generator())
        assert len(torch.unique(ranks)) == 50
        assert bool((values[ranks.argsort()].diff() >= 0).all())

    def test_equal_values_share_their_mean_rank(self) -> None:
        values = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
        assert ranks_without_ties(values, generator()).sort().values.tolist() == [0.0, 1.5, 2.0, 2.5]

    def test_the_order_of_equal_values_is_random(self) -> None:
        """Each of the 3 ranks that equal rows share is as likely for each of them."""
        values = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
        source = generator()
        ranks = torch.stack([ranks_without_ties(values, source) for _ in range(3000)])
        for row in (0, 2, 3):
            counts = (2 * ranks[:, row]).long().bincount()[3:]
            torch.testing.assert_close(counts / 1000, torch.ones(3), atol=0.1, rtol=0)

    def test_different_values_keep_their_scores_and_draw_nothing(self) -> None:
        side = as_side("x", as_columns("x", torch.randn(20, 2, generator=generator())))
        source = generator()
        expected = Ranks(side.values).scores(side.values).float()
        assert torch.equal(places(side, source), expected)
        assert torch.equal(source.get_state(), generator().get_state())


class TestCells:
    def test_the_excess_is_the_exponential_integral(self) -> None:
        mean = np.array([1e-6, 0.01, 0.4, 1.6, 5.0, 29.0, 31.0, 1e4])
        np.testing.assert_allclose(excess(torch.tensor(mean)).numpy(), exp1(mean), atol=1e-10, rtol=1e-9)

    def test_it_is_the_mean_of_digamma_of_poisson_counts(self) -> None:
        counts = np.random.default_rng(0).poisson(0.7, 200_000)
        expected = digamma(1 + counts).mean() - math.log(0.7)
        assert float(excess(torch.tensor(0.7, dtype=torch.float64))) == pytest.approx(expected, abs=0.01)

    def test_with_many_rows_it_is_the_plug_in_estimate(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.integers(0, 3, 6000)
        y = np.where(rng.uniform(size=6000) < 0.4, x, rng.integers(0, 3, 6000))
        table = np.zeros((3, 3))
        np.add.at(table, (x, y), 1 / 6000)
        plug_in = (table * np.log(table / (table.sum(1, keepdims=True) * table.sum(0)))).sum()
        rows = torch.arange(6000)
        codes = (torch.from_numpy(side)[:, None] for side in (x, y))
        found = cell_terms(*codes, rows, rows, rows, torch.zeros(6000, dtype=torch.float64))
        assert float(found.mean()) == pytest.approx(plug_in, abs=1e-3)

    @pytest.mark.parametrize(("count", "rows"), [(10, 300), (50, 1000), (200, 1000)])
    def test_nearly_empty_cells_of_independent_labels_give_0(self, count: int, rows: int) -> None:
        """The plug-in estimate of 200 and 200 labels is 3.5 nats here."""
        means = []
        for seed in range(5):
            x, y = torch.randint(count, (2, rows, 1), generator=generator(seed))
            at = torch.arange(rows)
            means.append(float(cell_terms(x, y, at, at, at, torch.zeros(rows, dtype=torch.float64)).mean()))
        assert abs(np.mean(means)) < 0.05

    def test_rows_of_the_own_group_are_not_counted(self) -> None:
        x, y = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]])[..., None]
        at, scores = torch.arange(6), torch.full((6,), 0.3, dtype=torch.float64)
        alone = cell_terms(x, y, at, at, at, scores)
        twice = [torch.cat([side, side]) for side in (x, y)]
        grouped = cell_terms(*twice, at, torch.arange(12), torch.arange(12) % 6, scores)
        assert not torch.allclose(grouped, alone)  # the other rows count twice
        once = cell_terms(*twice, at, at, torch.arange(12) % 6, scores)
        torch.testing.assert_close(once, alone)


class TestCopies:
    @pytest.mark.parametrize("kind", INDEPENDENT)
    def test_rows_that_are_equal_by_chance_are_none(self, kind: str) -> None:
        x, y = INDEPENDENT[kind](np.random.default_rng(0))
        assert read_repeats(as_side("x", as_columns("x", x)), as_side("y", as_columns("y", y))).groups is None

    @pytest.mark.parametrize(
        "kind",
        {
            "numbers": lambda rng: (rng.normal(size=200), rng.normal(size=200)),
            "two decimals": lambda rng: (rng.normal(size=200).round(2), rng.normal(size=200).round(2)),
            "labels": lambda rng: (rng.normal(size=200), labels(rng, 3, 200)),
            "zeros": lambda rng: tuple(rng.normal(size=(2, 200)) * (rng.uniform(size=(2, 200)) < 0.7)),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_rows_that_are_given_five_times_are(self, kind: tuple[str, Callable[[np.random.Generator], Pair]]) -> None:
        x, y = (np.repeat(side, 5) for side in kind[1](np.random.default_rng(1000)))
        groups = read_repeats(as_side("x", as_columns("x", x)), as_side("y", as_columns("y", y))).groups
        assert groups is not None
        assert quick(x, y).low == 0.0
