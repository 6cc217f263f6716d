"""New rows in a data frame: columns are matched by name with those of the estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi

Y = np.random.default_rng(0).normal(size=120)
A, B = np.random.default_rng(1).normal(size=(2, 120)) + np.stack([Y, 3 - Y])
Z = np.random.default_rng(2).normal(size=120)


def quick(x: object, y: object, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=0, folds=2, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["pandas", "polars"])
def frames(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param).DataFrame


class TestAnotherOrder:
    def test_of_x(self, frames: Any) -> None:
        found = quick(frames({"a": A, "b": B}), Y)
        torch.testing.assert_close(found.score(frames({"b": B, "a": A}), Y), found.score(np.stack([A, B], 1), Y))

    def test_of_y(self, frames: Any) -> None:
        found = quick(Y, frames({"a": A, "b": B}))
        torch.testing.assert_close(found.score(Y, frames({"b": B, "a": A})), found.score(Y, np.stack([A, B], 1)))

    def test_of_given(self, frames: Any) -> None:
        """x and given have a column name in common."""
        found = quick(frames({"a": A, "b": B}), Y, given=frames({"b": Z, "c": Z + A}))
        expected = found.score(np.stack([A, B], 1), Y, given=np.stack([Z, Z + A], 1))
        by_name = found.score(frames({"b": B, "a": A}), Y, given=frames({"c": Z + A, "b": Z}))
        torch.testing.assert_close(by_name, expected)

    def test_of_labels_beside_numbers(self, frames: Any) -> None:
        text = np.where(A > 0, "u", "v").tolist()
        found = quick(frames({"a": text, "b": B}), Y)
        torch.testing.assert_close(
            found.score(frames({"b": B, "a": text}), Y), found.score(frames({"a": text, "b": B}), Y)
        )

    def test_of_names_that_are_numbers(self) -> None:
        frame = pytest.importorskip("pandas").DataFrame(np.stack([A, B], 1))
        found = quick(frame, Y)
        torch.testing.assert_close(found.score(frame[[1, 0]], Y), found.score(frame, Y))

    def test_of_a_column_without_a_name(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(np.stack([A, B], 1), columns=pandas.Index([None, "b"], dtype=object))
        found = quick(frame, Y)
        torch.testing.assert_close(found.score(frame.iloc[:, [1, 0]], Y), found.score(frame, Y))

    def test_of_columns_of_arrays(self) -> None:
        polars = pytest.importorskip("polars")
        pairs = polars.Series(np.stack([A, B], 1), dtype=polars.Array(polars.Float64, 2))
        frame = polars.DataFrame({"pair": pairs, "z": Z})
        found = quick(frame, Y)
        torch.testing.assert_close(found.score(frame.select("z", "pair"), Y), found.score(frame, Y))

    def test_of_batches(self, frames: Any) -> None:
        one, other = slice(0, 60), slice(60, None)
        batches = [(frames({"a": A[one], "b": B[one]}), Y[one]), (frames({"b": B[other], "a": A[other]}), Y[other])]
        assert quick(batches, None).nats == quick(np.stack([A, B], 1), Y).nats


class TestOtherNames:
    @pytest.mark.parametrize(
        ("names", "match"),
        [
            (("a", "c"), "x must have the columns 'a', 'b' of the estimate, got no 'b' and 'c' in addition"),
            (("a",), "x must have the columns 'a', 'b' of the estimate, got no 'b'"),
            (("a", "b", "c"), "x must have the columns 'a', 'b' of the estimate, got 'c' in addition"),
        ],
    )
    def test_of_x(self, frames: Any, names: tuple[str, ...], match: str) -> None:
        found = quick(frames({"a": A, "b": B}), Y)
        with pytest.raises(ValueError, match=f"^{match}; select or rename its columns"):
            found.score(frames(dict.fromkeys(names, A)), Y)

    def test_of_y_and_given(self, frames: Any) -> None:
        found = quick(A, frames({"y": Y}), given=frames({"z": Z}))
        with pytest.raises(ValueError, match=r"^y must have the columns 'y' of the estimate, got no 'y'"):
            found.score(A, frames({"other": Y}), given=frames({"z": Z}))
        with pytest.raises(ValueError, match=r"^given must have the columns 'z' of the estimate, got no 'z'"):
            found.score(A, frames({"y": Y}), given=frames({"other": Z}))

    def test_that_repeat(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(np.stack([A, B, Z], 1), columns=["a", "a", "b"])
        found = quick(frame, Y)
        assert found.score(frame, Y).shape == (120,)
        with pytest.raises(ValueError, match=r"^x must have its columns in the order 'a', 'a', 'b' of the estimate"):
            found.score(frame.iloc[:, [0, 2, 1]], Y)


class TestWithoutNames:
    """Arrays, tensors and series have no column names, so their columns are matched by position."""

    def test_on_either_side(self, frames: Any) -> None:
        array = np.stack([A, B], 1)
        expected = quick(array, Y).score(array, Y)
        torch.testing.assert_close(quick(array, Y).score(frames({"b": A, "a": B}), Y), expected)
        torch.testing.assert_close(quick(frames({"a": A, "b": B}), Y).score(torch.from_numpy(array), Y), expected)

    def test_of_a_series(self) -> None:
        pandas = pytest.importorskip("pandas")
        found = quick(pandas.DataFrame({"a": A}), pandas.Series(Y, name="y"))
        torch.testing.assert_close(found.score(pandas.Series(A, name="b"), pandas.Series(Y)), found.score(A, Y))
