"""The start that adds up one table of scores per pair of coordinates."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import Tensor

from infomax import estimate_mi
from infomax.mi.closed_forms.tables import _BINS, PairTables, _kernel, fit_tables, looked_up
from infomax.mi.tasks import correlated_normal, independent, smoothed_uniform, transformed


def fitted(x: Tensor, y: Tensor) -> tuple[PairTables | None, Tensor]:
    """Return fitted tables, and the rows that were not used for the fit."""
    train, validation, rest = torch.arange(len(x)).tensor_split([int(0.6 * len(x)), int(0.75 * len(x))])
    return fit_tables(x, y, train, validation), rest


def value(tables: PairTables, x: Tensor, y: Tensor) -> float:
    """Return the Donsker-Varadhan value over all pairs of the rows."""
    of_x, of_y = tables.rows(x, y)
    scores = looked_up(tables.tables[None], 0, of_x.places[:, None], of_y.places[None])
    apart = ~torch.eye(len(x), dtype=torch.bool)
    return float(scores.diagonal().mean() - scores[apart].logsumexp(0) + math.log(int(apart.sum())))


def test_the_sum_of_entries() -> None:
    tables = torch.randn(2, 3, _BINS, _BINS, dtype=torch.float64)
    x, y = torch.randint(_BINS, (5, 3)), torch.randint(_BINS, (5, 3))
    fold = torch.tensor([0, 1, 1, 0, 1])
    expected = [
        sum(float(tables[fold[row], table, x[row, table], y[row, table]]) for table in range(3)) for row in range(5)
    ]
    torch.testing.assert_close(looked_up(tables, fold[:, None], x, y), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("rows", [1_000, 6_000])
def test_what_a_table_holds_of_one_pair(rows: int) -> None:
    for task in (smoothed_uniform(1.0), correlated_normal(1.0)):
        x, y = task.sample(rows, seed=0)
        tables, rest = fitted(x, y)
        assert tables is not None
        assert tables.tables.shape == (1, _BINS, _BINS)
        rest = rest[:1_000]
        assert 0.75 < value(tables, x[rest], y[rest]) < 1.05


def test_coordinates_are_matched_and_the_sum_is_right() -> None:
    x, y = smoothed_uniform(1.0, 0.5).sample(6_000, seed=1)
    noise = torch.rand(6_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    tables, rest = fitted(torch.cat([noise, x], 1), y.flip(1).exp())
    assert tables is not None
    matched = list(zip(tables.columns[0].tolist(), tables.columns[1].tolist(), strict=True))
    assert matched[:2] == [(1, 1), (2, 0)]
    rest = rest[:1_000]
    both = tables.first(2)
    found = value(both, torch.cat([noise, x], 1)[rest], y.flip(1).exp()[rest])
    assert 1.25 < found < 1.55
    assert value(tables.first(1), torch.cat([noise, x], 1)[rest], y.flip(1).exp()[rest]) < found - 0.3


def test_a_coordinate_is_matched_once() -> None:
    """The first coordinate of x says more about either coordinate of y than the second one does."""
    random = torch.Generator().manual_seed(0)
    first, second, noise, other = torch.randn(4, 6_000, 1, dtype=torch.float64, generator=random)
    x, y = torch.cat([first, second], 1), torch.cat([first + 0.1 * noise, first + 0.5 * second + 0.1 * other], 1)
    tables, _ = fitted(x, y)
    assert tables is not None
    assert [columns.tolist() for columns in tables.columns] == [[0, 1], [0, 1]]


def test_what_was_never_seen_together_is_rare_and_not_impossible() -> None:
    x = torch.rand(4_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tables, rest = fitted(x, x)
    assert tables is not None
    torch.testing.assert_close(tables.tables.min(), torch.tensor(2_400**-0.5, dtype=torch.float64).log())
    assert math.isfinite(value(tables, x[rest], x[rest].flip(0)))


@pytest.mark.parametrize("width", [0.3, 0.15, 0.08, 0.04, 0.02, 0.01])
def test_smoothing_keeps_uniform_ranks_uniform(width: float) -> None:
    """This holds at the edges too, where the kernel is reflected."""
    kernel = _kernel(width)
    torch.testing.assert_close(kernel.sum(0), torch.ones(_BINS, dtype=torch.float64), rtol=0, atol=5e-3)
    torch.testing.assert_close(kernel.sum(1), torch.ones(_BINS, dtype=torch.float64))


def test_nothing_is_found_where_nothing_is() -> None:
    x, y = independent(2, 2).sample(1_000, seed=0)
    tables, rest = fitted(x, y)
    assert tables is not None  # by chance, the validation rows may show some dependence
    assert abs(value(tables, x[rest], y[rest])) < 0.02


def test_increasing_functions_change_nothing() -> None:
    x, y = smoothed_uniform(1.0).sample(1_000, seed=0)
    one, _ = fitted(x, y)
    other, _ = fitted(x.exp(), y**3)
    assert one is not None
    assert other is not None
    assert torch.equal(one.tables, other.tables)


@pytest.mark.parametrize("levels", [2, 5])
def test_values_that_repeat(levels: int) -> None:
    """All levels are equally likely. With probability 1/2, y equals x; otherwise y is drawn at random."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(levels, (4_000, 1), generator=random).double()
    y = torch.where(
        torch.rand(4_000, 1, generator=random) < 0.5, x, torch.randint(levels, (4_000, 1), generator=random)
    )
    same = 0.5 + 0.5 / levels
    other = 0.5 / levels
    truth = same * math.log(same * levels) + (levels - 1) * other * math.log(other * levels)
    tables, rest = fitted(x, y.double())
    assert tables is not None
    assert abs(value(tables, x[rest], y.double()[rest]) - truth) < 0.05


def test_many_coordinates_are_left_to_others() -> None:
    x, y = torch.randn(100, 40, dtype=torch.float64), torch.randn(100, 40, dtype=torch.float64)
    assert fitted(x, y)[0] is None


def test_an_estimate_begins_with_it() -> None:
    task = transformed(smoothed_uniform(*[1 / 3] * 3), "cubed", of_y=lambda y: y**3)
    x, y = task.sample(4_000, seed=0)
    result = estimate_mi(x, y, random_state=0, max_steps=0)
    assert set(result.starts) == {"coordinates in pairs"}
    assert abs(result.nats - 1.0) < 0.15  # 0.30 without this start
    assert result.low <= 1.0 <= result.high
    again = pickle.loads(pickle.dumps(result))
    torch.testing.assert_close(again.score(x[:20], y[:20]), result.score(x[:20], y[:20]))
    new_x, new_y = task.sample(2_000, seed=1)
    assert abs(float(torch.as_tensor(result.score(new_x, new_y)).mean()) - 0.9) < 0.15


def test_where_a_closed_form_is_exact_it_stays() -> None:
    x, y = correlated_normal(0.5, 0.5).sample(2_000, seed=0)
    assert set(estimate_mi(x, y, random_state=0, max_steps=0).starts) == {"Gaussian copula"}


def test_bins_are_finer_where_large_values_come_together() -> None:
    """With bins of equal frequency, tables held 0.81 of these log 3 nats; the outermost bins hid more."""
    held = []
    for seed in range(4):
        uniform = torch.rand(2, 6_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        x, noise = ((uniform - 0.5) * torch.pi).tan()
        y = x + 0.5 * noise
        tables, rest = fitted(x, y)
        assert tables is not None
        held.append(value(tables, x[rest[:1_000]], y[rest[:1_000]]))
    assert sum(held) / 4 > 0.84
