"""The softmax regression of labels finds the level of each row without a table of rows, levels and columns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.memory import peak_bytes
from infomax.mi.closed_forms import labels as module
from infomax.mi.closed_forms.labels import LabelHead, fit_head
from infomax.mi.closed_forms.marginals import Standardised

ROWS, LEVELS = 5_000, 100


def head_of(levels: Tensor, *, of_y: bool = True) -> LabelHead:
    values = torch.randn(50, 1, dtype=torch.float64)
    waves = torch.randn(1, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    weights = torch.randn(4, len(levels), dtype=torch.float64)
    return LabelHead(Standardised(values), waves, weights, levels, torch.zeros(len(levels)).double(), of_y)


@pytest.mark.parametrize("of_y", [True, False])
def test_each_row_is_its_level_or_none(of_y: bool) -> None:
    labels = torch.randint(-1, 2, (200, 3)).double()
    levels = torch.unique(labels, dim=0)[torch.randperm(20)[:12]]
    sides = torch.randn(200, 1, dtype=torch.float64), labels
    found = head_of(levels, of_y=of_y).rows(*(sides if of_y else sides[::-1]))[of_y].leading
    expected = torch.stack([(labels == level).all(1) for level in levels], 1).double()
    assert set(expected.sum(1).tolist()) == {0.0, 1.0}
    assert torch.equal(found, expected)


def test_memory_of_scores_grows_with_rows_times_levels() -> None:
    levels = torch.eye(LEVELS, dtype=torch.float64)
    labels, values = levels[torch.randint(LEVELS, (ROWS,))], torch.randn(ROWS, 1, dtype=torch.float64)
    head = head_of(levels)
    assert peak_bytes(lambda: head.rows(values, labels)) < 6 * 8 * ROWS * LEVELS < ROWS * LEVELS**2


def test_memory_of_the_regression_grows_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ITERATIONS", 1)
    monkeypatch.setattr(module, "_WAVES", 4)
    levels = torch.eye(LEVELS, dtype=torch.float64)
    labels = levels[torch.arange(ROWS) % LEVELS]
    values = torch.randn(ROWS, 1, dtype=torch.float64)
    train, validation = torch.arange(2 * LEVELS), torch.arange(2 * LEVELS, ROWS)

    def fitted() -> LabelHead:
        return fit_head(Standardised(values), values, labels, train, validation, of_y=True)

    assert peak_bytes(fitted) < 6 * 8 * ROWS * LEVELS < ROWS * LEVELS**2
