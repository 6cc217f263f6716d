"""Checks that need no critic: two columns together, and columns that are too much alike for ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infomax import estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import Side, as_side
from infomax.mi.reading.alike import columns_alike
from infomax.mi.reading.together import nats_together


def side(values: np.ndarray, *, labels: bool = False) -> Side:
    columns = as_columns("x", values)
    return as_side("x", [column.as_labels() for column in columns] if labels else columns)


def of(x: np.ndarray, y: np.ndarray, groups: torch.Tensor | None = None, **labels: bool) -> float:
    return nats_together(side(x), side(y, **labels), groups)


class TestTwoColumns:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_product_and_an_exclusive_or(self, seed: int) -> None:
        draws = np.random.default_rng(seed)
        x, genes = draws.normal(size=(2000, 20)), draws.binomial(2, 0.5, (2000, 20))
        assert 0.5 < of(x, x[:, 4] * x[:, 7] > 0, labels=True) <= math.log(2)
        assert of(x[:, 4] * x[:, 7], x) > 0.5
        assert 0.6 < of(genes, (genes[:, 3] == 1) ^ (genes[:, 7] == 1), labels=True) <= math.log(2)

    def test_against_a_loop(self) -> None:
        draws = np.random.default_rng(0)
        x, y = draws.integers(0, 3, (1000, 3)), draws.integers(0, 2, 1000)
        y = np.where(x[:, 0] == x[:, 2], y, 1 - x[:, 0] // 2)
        found = []
        for i in range(3):
            for j in range(3):
                table = np.zeros((9, 2))
                np.add.at(table, (3 * x[:, i] + x[:, j], y), 1 / 1000)
                table = table[table.sum(1) > 0]
                ratio = table / (table.sum(1, keepdims=True) * table.sum(0))
                logs = np.log(np.where(ratio > 0, ratio, 1.0))
                nats = (table * logs).sum()
                error = math.sqrt(((table * logs**2).sum() - nats**2) / 1000)
                found.append((nats - (len(table) - 1) / 2000, error))
        nats, error = max(found)
        assert of(x.astype(float), y, labels=True) == pytest.approx(nats - 5 * error, abs=1e-6)

    def test_nothing_where_nothing_is(self) -> None:
        for seed in range(100):
            draws = np.random.default_rng(seed)
            rows = (100, 300, 1000)[seed % 3]
            x = draws.normal(size=(rows, 20))
            assert of(x, draws.integers(0, 2, rows), labels=True) == of(x, draws.normal(size=rows)) == 0.0

    @pytest.mark.parametrize("correlation", [0.3, 0.9])
    def test_never_above_the_truth(self, correlation: float) -> None:
        for seed in range(20):
            x, noise = np.random.default_rng(seed).normal(size=(2, 1000, 2))
            y = correlation * x + math.sqrt(1 - correlation**2) * noise
            assert of(x, y) <= -math.log(1 - correlation**2)

    def test_one_row_of_a_group_counts(self) -> None:
        draws = np.random.default_rng(0)
        x, y = draws.normal(size=(20, 2)).repeat(100, 0), draws.integers(0, 2, 20).repeat(100)
        assert of(x, y, labels=True) > 0.1
        assert of(x, y, torch.arange(20).repeat_interleave(100), labels=True) == 0.0

    def test_the_flag(self) -> None:
        """The estimate was 0.008 [0.001, 0.045] without a flag; the truth is log 2."""
        genes = np.random.default_rng(1).binomial(2, 0.5, (2000, 20))
        found = estimate_mi(genes, (genes[:, 3] == 1) ^ (genes[:, 7] == 1), random_state=1, max_steps=0)
        assert found.high > math.log(2) or any("a table of two columns" in doubt for doubt in found.doubts)


class TestColumnsAlike:
    def test_prices_of_two_days(self) -> None:
        draws = np.random.default_rng(1)
        today, change, noise = draws.normal(size=(3, 2000))
        x = np.exp(np.stack([draws.normal(size=2000), today, today + 0.01 * change], 1))
        assert columns_alike(side(x)) == (1, 2)
        y = 0.8 * change + 0.6 * noise
        found = estimate_mi(x, y, random_state=1, max_steps=0)
        assert found.high < 0.511  # ranks hide what the ratio tells
        assert any(doubt.startswith("columns 1 and 2 of x differ by a few ranks") for doubt in found.doubts)
        ratio = estimate_mi(np.log(x[:, 2] / x[:, 1]), y, random_state=1, max_steps=0)
        assert ratio.low < 0.511 < ratio.high
        assert not ratio.saturated

    @pytest.mark.parametrize("change", [0.5, 0.2])
    def test_columns_that_ranks_tell_apart(self, change: float) -> None:
        one, other = np.random.default_rng(1).normal(size=(2, 2000))
        assert columns_alike(side(np.stack([one, one + change * other], 1))) is None

    def test_equal_columns_and_levels_hide_nothing(self) -> None:
        draws = np.random.default_rng(1)
        one = draws.normal(size=2000)
        levels = draws.integers(0, 30, 2000).astype(float)
        near = np.where(draws.uniform(size=2000) < 0.01, levels[::-1], levels)
        assert columns_alike(side(np.stack([one, one], 1))) is None
        assert columns_alike(side(np.stack([levels, near], 1))) is None
