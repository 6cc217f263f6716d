"""What adjacent rows prove: never more than the truth, and enough to notice a dependence that was read as 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infomax import estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import Side, as_side
from infomax.mi.reading.adjacent import adjacent_nats


def side(values: np.ndarray, *, labels: bool = False) -> Side:
    columns = as_columns("x", values)
    return as_side("x", [column.as_labels() for column in columns] if labels else columns)


def of(x: np.ndarray, y: np.ndarray, groups: torch.Tensor | None = None, **labels: bool) -> float:
    generator = torch.Generator().manual_seed(0)
    return adjacent_nats(side(x), side(y, **labels), generator, groups)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=1000)


class TestValue:
    @pytest.mark.parametrize("rows", [100, 1000, 30_000])
    def test_a_function_has_a_third_of_a_nat(self, rows: int) -> None:
        """With ever more rows, adjacent ones differ by nothing, and random ranks by 1/3."""
        x = np.random.default_rng(1).normal(size=rows)
        assert 1 / 3 - 3.5 / math.sqrt(rows) < of(x, x) <= 1 / 3
        assert of(x, np.exp(-x)) == of(x, x)  # ranks do not change, except their order

    @pytest.mark.parametrize("classes", [2, 5])
    def test_a_function_to_labels(self, x: np.ndarray, classes: int) -> None:
        labels = np.digitize(x, np.quantile(x, np.arange(1, classes) / classes)).astype(float)
        found = of(x, labels, labels=True)
        assert 1 - 1 / classes - 0.1 < found < 1 - 1 / classes < math.log(classes)

    def test_against_a_loop(self, x: np.ndarray) -> None:
        """The formula without the error, over all pairs of rows, with ties."""
        from infomax.mi.reading.adjacent import _adjacent, _excess, _random_difference, _ranks

        y = np.round(2 * x + np.random.default_rng(1).normal(size=len(x)))[:200]
        ranks = [(y <= value).mean() for value in y]
        pairs = [abs(one - other) for i, one in enumerate(ranks) for other in ranks[:i]]
        steps = np.abs(np.diff(ranks))
        expected = np.mean(pairs) - steps.mean() - 5 * steps.std(ddof=1) * math.sqrt(2 / 200)
        of_y = _ranks(torch.as_tensor(y)[:, None])
        assert _excess(_adjacent(of_y), _random_difference(of_y), 200) == pytest.approx(expected)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10_000), correlation=st.floats(0, 0.99), rows=st.sampled_from([50, 300, 3000]))
    def test_never_above_the_truth(self, seed: int, correlation: float, rows: int) -> None:
        x, noise = np.random.default_rng(seed).normal(size=(2, rows))
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        assert of(x, y) <= -0.5 * math.log(1 - correlation**2)

    @pytest.mark.parametrize("seed", range(20))
    def test_a_noisy_channel(self, seed: int) -> None:
        """Y is the sign of X, wrong in a quarter of the rows: log 2 - H(1/4) = 0.131 nats, and a quarter of 1/2."""
        draws = np.random.default_rng(seed)
        x = draws.normal(size=20_000)
        labels = (x > 0) ^ (draws.uniform(size=len(x)) < 0.25)
        assert 0.09 < of(x, labels.astype(float), labels=True) < 0.125

    def test_the_best_column_of_either_side_counts(self, x: np.ndarray) -> None:
        noise = np.random.default_rng(1).normal(size=(1000, 3))
        wave = np.mod(x, 0.1)
        assert of(np.column_stack([noise, x]), wave) == pytest.approx(of(x, wave), abs=0.01)
        assert of(wave, np.column_stack([x, noise])) == pytest.approx(of(wave, x), abs=0.01)

    @pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
    def test_the_nearest_rows_never_show_more_than_the_truth(self, correlation: float) -> None:
        for seed in range(20):
            x, noise = np.random.default_rng(seed).normal(size=(2, 400, 3))
            y = correlation * x + math.sqrt(1 - correlation**2) * noise
            assert of(x, y) <= -1.5 * math.log(1 - correlation**2)

    def test_the_nearest_rows_show_what_no_column_does(self) -> None:
        """A wave of the sum of two columns, on which no single column has an influence."""
        x = np.random.default_rng(0).uniform(size=(1000, 2))
        wave = np.sin(20 * math.pi * x.sum(1))
        assert of(x[:, 0], wave) == of(x[:, 1], wave) == 0.0
        assert 0.05 < of(x, wave) < 1 / 3
        assert 0.05 < of(wave, x) < 1 / 3
        assert of(x, (wave > 0).astype(float), labels=True) > 0.05

    def test_nothing_where_it_would_take_seconds(self) -> None:
        x = np.random.default_rng(0).normal(size=(200, 800))
        assert of(x, x) == 0.0


class TestDependentRows:
    def test_rows_of_a_group_prove_nothing(self) -> None:
        """50 subjects of 20 nearly equal rows, x and y independent: adjacent rows are of one subject."""
        draws = np.random.default_rng(2)
        x, y = (np.repeat(draws.normal(size=50), 20) + 0.001 * draws.normal(size=1000) for _ in range(2))
        assert of(x, y) > 0.2
        assert of(x, y, torch.arange(50).repeat_interleave(20)) == 0.0

    def test_equal_values_are_in_random_order(self) -> None:
        """Rows sorted by y would be alike on y within each value of x."""
        y = np.arange(1000.0)
        assert of(np.tile([0.25, 0.75], 500), y) == 0.0  # integers would be labels, which are not sorted


class TestFlag:
    @pytest.mark.parametrize("period", [0.1, 0.05])
    def test_a_fast_wave(self, x: np.ndarray, period: float) -> None:
        found = estimate_mi(x, np.mod(x, period), random_state=0, max_steps=60, folds=2)
        assert found.high < 0.3  # missed, so it must be flagged
        assert any("adjacent on one side" in doubt for doubt in found.doubts)
        assert "SATURATED" in str(found)

    def test_a_fast_wave_of_a_sum(self) -> None:
        """The estimate was 0.000 [0.000, 0.018] without a flag."""
        x = np.random.default_rng(0).uniform(size=(1000, 2))
        found = estimate_mi(x, np.sin(20 * math.pi * x.sum(1)), random_state=0, max_steps=60, folds=2)
        assert any("adjacent on one side" in doubt for doubt in found.doubts)

    @pytest.mark.parametrize("width", [0.1, 0.02])
    def test_labels_that_alternate(self, x: np.ndarray, width: float) -> None:
        """Neighbours find wide stripes, and miss narrow ones."""
        found = estimate_mi(x, np.floor(x / width) % 2, discrete="y", random_state=0, max_steps=60, folds=2)
        flagged = any("adjacent on one side" in doubt for doubt in found.doubts)
        assert flagged != (found.high > math.log(2) - 0.1)

    @pytest.mark.parametrize("seed", range(5))
    def test_not_where_the_estimate_is_right(self, seed: int) -> None:
        x, noise = np.random.default_rng(seed).normal(size=(2, 500))
        for y in (noise, x + noise, np.sin(3 * x) + 0.1 * noise):
            found = estimate_mi(x, y, random_state=0, max_steps=60, folds=2)
            assert not any("adjacent" in doubt for doubt in found.doubts)
