"""Columns of data frames: each is read, by its place."""

from __future__ import annotations

import numpy as np
import pytest

from infomax.mi import mutual_info
from infomax.mi.input.columns import as_columns


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
        found = mutual_info(pandas.DataFrame(np.stack([np.ones(60), y], 1), columns=["a", "a"]), y)
        assert found[0] == 0.0
        assert found[1] > 0.5
