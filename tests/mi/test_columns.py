"""Columns of data frames: each column is read by its position, and a missing value is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.memory import peak_bytes
from infomax import estimate_mi
from infomax.mi import mutual_info
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import as_side


class TestNamesThatRepeat:
    def test_all_columns_are_read(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({0: [0.0, 1.0, 2.0], 1: [5, 3, 4], 2: ["u", "v", "u"]})
        frame.columns = ["a", "a", "a"]
        found = as_columns("x", frame)
        assert [column.values.tolist() for column in found] == [[0.0, 1.0, 2.0], [5.0, 3.0, 4.0], [0.0, 1.0, 0.0]]
        assert [column.labels for column in found] == [False, False, True]

    def test_each_column_is_measured(self) -> None:
        pandas = pytest.importorskip("pandas")
        y = np.random.default_rng(0).normal(size=60)
        with pytest.warns(UserWarning, match=r"1 of 2 columns are flagged: X\['a'\]: 60 rows can certify little"):
            found = mutual_info(pandas.DataFrame(np.stack([np.ones(60), y], 1), columns=["a", "a"]), y)
        assert found[0] == 0.0
        assert found[1] > 0.5


class TestMissingValues:
    @pytest.mark.parametrize(
        ("dtype", "values"),
        [
            ("string", ["u", None, "v"]),
            ("boolean", [True, None, False]),
            ("Int64", [1, None, 2]),
            ("Float64", [1.5, None, 2.5]),
            ("float64", [1.5, None, 2.5]),
            ("category", ["u", None, "v"]),
            ("category", [1.5, None, 2.5]),
            ("object", ["u", None, "v"]),
        ],
    )
    def test_of_pandas_are_named(self, dtype: str, values: list[object]) -> None:
        pandas = pytest.importorskip("pandas")
        series = pandas.Series(values, dtype=dtype)
        with pytest.raises(ValueError, match=r"x\['a'\] must have a value everywhere, got 1 of 3 missing"):
            as_columns("x", pandas.DataFrame({"a": series}))
        with pytest.raises(ValueError, match=r"x must have a value everywhere, got 1 of 3 missing"):
            as_columns("x", series)
        assert len(as_columns("x", series[[0, 2]])[0].values) == 2

    @pytest.mark.parametrize("dtype", ["String", "Boolean", "Int64", "Float64", "Categorical"])
    def test_of_polars_are_named(self, dtype: str) -> None:
        polars = pytest.importorskip("polars")
        values = {"Boolean": [True, None], "Int64": [1, None], "Float64": [1.5, None]}.get(dtype, ["u", None])
        frame = polars.DataFrame({"a": polars.Series(values, dtype=getattr(polars, dtype))})
        with pytest.raises(ValueError, match=r"x\['a'\] must have a value everywhere, got 1 of 2 missing"):
            as_columns("x", frame)

    def test_of_pandas_in_a_list_are_counted(self) -> None:
        pandas = pytest.importorskip("pandas")
        with pytest.raises(ValueError, match="x must have a value everywhere, got 2 of 3 missing"):
            as_columns("x", ["u", pandas.NA, None])


class TestValuesThatAreArrays:
    def test_every_part_is_read(self) -> None:
        polars = pytest.importorskip("polars")
        series = polars.Series("a", [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], dtype=polars.Array(polars.Float64, 2))
        for values in (series, polars.DataFrame([series])):
            assert [column.values.tolist() for column in as_columns("x", values)] == [[1.0, 3.0, 5.0], [2.0, 4.0, 7.0]]

    def test_objects_are_refused_by_name(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"a": [np.zeros(2), np.ones(2)]})
        with pytest.raises((TypeError, ValueError), match=r"x\['a'\] must"):
            as_columns("x", frame)


class TestLists:
    def test_numbers_beside_strings_stay_numbers(self) -> None:
        label, number = as_columns("x", [["a", 0.1], ["b", 2.5], ["a", 0.3]])
        assert (label.labels, label.values.tolist()) == (True, [0.0, 1.0, 0.0])
        assert (number.labels, number.values.tolist()) == (False, [0.1, 2.5, 0.3])

    def test_a_missing_label_is_named(self) -> None:
        with pytest.raises(ValueError, match="y must have a value everywhere, got 2 of 6 missing"):
            as_columns("y", ["a", "b", float("nan")] * 2)

    @pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="numpy 2 has it")
    def test_strings_of_any_length(self) -> None:
        (column,) = as_columns("x", np.array(["a", "bc", "a"], dtype=np.dtypes.StringDType()))
        assert column.labels
        assert column.values.tolist() == [0.0, 1.0, 0.0]


class TestCategories:
    def test_of_intervals_and_dates(self) -> None:
        """Categories can be intervals, as ``pandas.cut`` makes them, or dates."""
        pandas = pytest.importorskip("pandas")
        number = pandas.Series([0.1, 0.9, 0.2, 1.7])
        (cut,) = as_columns("x", pandas.cut(number, [0, 0.5, 1, 2]))
        assert cut.labels
        assert cut.values.tolist() == [0.0, 1.0, 0.0, 2.0]
        (day,) = as_columns("x", pandas.Series(pandas.to_datetime(["2026-01-02", "2026-01-01"])).astype("category"))
        assert day.labels
        assert day.values.tolist() == [1.0, 0.0]
        (level,) = as_columns("x", pandas.Series([5, 3, 5]).astype("category"))
        assert (level.labels, level.values.tolist()) == (True, [5.0, 3.0, 5.0])
        with pytest.raises(ValueError, match="x must have a value everywhere, got 1 of 4 missing"):
            as_columns("x", pandas.cut(number, [0, 0.5, 1]))


def test_rows_of_many_booleans_are_no_class_each() -> None:
    """With 64 booleans every row is distinct. As classes, the rows would cost memory and carry no information."""
    x = np.random.default_rng(0).random((400, 64)) < 0.5
    y = x[:, 0] + 0.1 * np.random.default_rng(1).normal(size=400)
    found = estimate_mi(x, y, random_state=0, max_steps=0)
    assert found.bound > 0.4
    assert found.high > 0.69


class TestNewRows:
    """``score`` reads a column as the estimate did, or refuses it."""

    Y = np.random.default_rng(0).normal(size=200)

    def test_booleans_that_are_all_true(self) -> None:
        x = self.Y > 0
        for given, new in [(x, x), (torch.from_numpy(x), x), (x, torch.from_numpy(x))]:
            found = estimate_mi(given, self.Y, random_state=0, max_steps=0)
            some = found.score(given, self.Y)[torch.from_numpy(x)]
            torch.testing.assert_close(found.score(new[x], self.Y[x]), some)

    @pytest.mark.parametrize(
        ("x", "new", "error", "message"),
        [
            (Y > 0, (Y > 0).astype(int), TypeError, "x must hold what it held in the estimate, got numbers in a col"),
            (Y.round(1), Y.round(1).astype(str), TypeError, "got labels in a column of numbers"),
            (np.where(Y > 0, "a", "b"), np.where(Y > 0, "a", "c"), ValueError, "hold labels of the estimate, got 'c'"),
        ],
    )
    def test_columns_of_another_kind(self, x: object, new: object, error: type[Exception], message: str) -> None:
        found = estimate_mi(x, self.Y, random_state=0, max_steps=0)
        with pytest.raises(error, match=message):
            found.score(new, self.Y)


class TestGlobalState:
    """An estimate does not depend on global settings of torch."""

    X = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_without_gradients(self, mode: type) -> None:
        expected = estimate_mi(self.X, self.X.exp(), random_state=0, max_steps=5)
        with mode():
            assert estimate_mi(self.X.clone(), self.X.exp(), random_state=0, max_steps=5) == expected

    def test_of_another_default_dtype(self) -> None:
        expected = estimate_mi(self.X, self.X + 1, random_state=0, max_steps=5)
        torch.set_default_dtype(torch.float64)
        found = estimate_mi(self.X, self.X + 1, random_state=0, max_steps=5)
        assert found.nats == pytest.approx(expected.nats, abs=1e-4)


def test_booleans_in_batches_are_numbered_alike() -> None:
    """Regression: a batch that was all True was numbered like one that was all False. 0.35 nats read as 0.007."""
    generator = np.random.default_rng(0)
    x = np.sort(generator.random(400) < 0.5)
    y = 2 * x + generator.normal(size=400)
    cut = [(x[i : i + 100], y[i : i + 100]) for i in range(0, 400, 100)]
    whole = estimate_mi(x, y, random_state=0, max_steps=0)
    for batches in (cut, [(part.tolist(), rest) for part, rest in cut]):
        assert estimate_mi(batches, random_state=0, max_steps=0).nats == pytest.approx(whole.nats, abs=0.01)
    assert whole.nats > 0.2


def test_labels_that_print_alike_are_refused() -> None:
    x = np.array([1, "1", 2, "2"] * 50, dtype=object)
    with pytest.raises(TypeError, match="which some have the same text; convert them to one type"):
        estimate_mi(x, np.arange(200.0), max_steps=0)


def test_new_rows_of_no_label_are_refused() -> None:
    labels = np.arange(200) % 3
    y = labels + np.random.default_rng(0).normal(size=200)
    found = estimate_mi(np.eye(3)[labels], y, random_state=0, max_steps=0)
    assert found.score(np.eye(3), y[:3]).isfinite().all()
    with pytest.raises(ValueError, match="x must hold labels of the estimate, got 2 rows with other labels"):
        found.score(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]]), y[:3])


def test_many_booleans_take_no_table_of_rows_and_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(50, 300, generator=generator) < 0.5
    x = rows[torch.randint(50, (20_000,), generator=generator)]
    columns = as_columns("x", x)
    assert peak_bytes(lambda: as_side("x", columns)) < 5 * x.numel() * 8  # a table of rows, levels and columns: 300 MB


def test_autocast_around_it_has_no_effect() -> None:
    """Regression: under autocast, the networks kept their initial weights.

    The estimate was 0.86 nats instead of 1.14.
    """
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(400, 3, generator=generator), torch.randn(400, generator=generator)
    y = torch.sin(x[:, 0] * x[:, 1] + x[:, 2]) + 0.3 * noise
    expected = estimate_mi(x, y, random_state=0, max_steps=40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = estimate_mi(x, y, random_state=0, max_steps=40)
        scores = found.score(x, y)
    assert (found.nats, found.bound) == (expected.nats, expected.bound)
    assert torch.equal(scores, expected.score(x, y))
