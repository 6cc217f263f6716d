"""Integers beyond 2^53, not all of which exist in float64: identifiers stay distinct, or are refused by name."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi
from infomax.mi import mutual_info
from infomax.mi.input.columns import as_columns
from infomax.mi.input.groups import as_groups

BIG = 2**53
Y = np.random.default_rng(0).normal(size=120)
LABEL = (Y > 0).astype(np.int64)
SIGNED = BIG + LABEL  # 2^53 and 2^53 + 1 are the same float64
UNSIGNED = np.uint64(2**64 - 2) + LABEL.astype(np.uint64)
COLLIDE = "must hold integers that stay distinct as float64, got 2 that become 1"


def quick(x: object, y: object, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=0, folds=2, **options)  # type: ignore[arg-type]


def as_given(kind: str, values: np.ndarray) -> object:
    if kind in ("Int64", "UInt64"):
        return pytest.importorskip("pandas").Series(values, dtype=kind)
    if kind == "polars":
        return pytest.importorskip("polars").Series(values)
    if kind == "frame":
        return pytest.importorskip("polars").DataFrame({"id": values})
    return {
        "array": lambda: values,
        "matrix": lambda: values[:, None],
        "tensor": lambda: torch.from_numpy(values),
        "list": values.tolist,
        "object": lambda: values.astype(object),
        "decimal": lambda: [Decimal(int(value)) for value in values],
    }[kind]()


KINDS = ("array", "matrix", "tensor", "list", "object", "decimal", "polars", "frame")


class TestLabels:
    @pytest.mark.parametrize("kind", [*KINDS, "Int64"])
    def test_signed_ids_are_apart(self, kind: str) -> None:
        (column,) = as_columns("x", as_given(kind, SIGNED))
        labels = column.as_labels()
        assert labels.values.tolist() == LABEL.tolist()
        assert labels.names == (str(BIG), str(BIG + 1))

    @pytest.mark.parametrize("kind", [*KINDS, "UInt64"])
    def test_unsigned_ids_are_apart(self, kind: str) -> None:
        (column,) = as_columns("x", as_given(kind, UNSIGNED))
        labels = column.as_labels()
        assert labels.values.tolist() == LABEL.tolist()
        assert labels.names == (str(2**64 - 2), str(2**64 - 1))

    def test_on_either_side_they_read_as_small_ones_do(self) -> None:
        expected = quick(LABEL, Y, discrete="x").nats
        for found in (quick(SIGNED, Y, discrete="x"), quick(Y, SIGNED, discrete="y"), quick(UNSIGNED, Y, discrete="x")):
            assert found.nats == pytest.approx(expected, abs=0.02)

    def test_integers_of_any_size(self) -> None:
        found = quick([10**300 + int(label) for label in LABEL], Y, discrete="x")
        assert found.nats == quick(LABEL, Y, discrete="x").nats
        mixed = [2**63 + 2 if label else -(2**60) for label in LABEL]
        assert quick(mixed, Y, discrete="x").nats == found.nats

    def test_few_are_labels_unasked_as_smaller_integers_are(self) -> None:
        assert quick(SIGNED, Y).nats == pytest.approx(quick(LABEL, Y).nats, abs=0.02)

    def test_a_category(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"id": pandas.Series(SIGNED).astype("category"), "noise": Y[::-1].copy()})
        plain = pandas.DataFrame({"id": pandas.Series(LABEL).astype("category"), "noise": Y[::-1].copy()})
        assert quick(frame, Y).nats == quick(plain, Y).nats

    def test_given(self) -> None:
        noise = np.random.default_rng(1).normal(size=120)
        expected = quick(Y + noise, Y, given=LABEL)
        assert quick(Y + noise, Y, given=SIGNED).nats == pytest.approx(expected.nats, abs=0.05)

    def test_score_tells_them_apart(self) -> None:
        found, plain = quick(SIGNED, Y, discrete="x"), quick(LABEL, Y, discrete="x")
        torch.testing.assert_close(found.score(SIGNED, Y), plain.score(LABEL, Y))
        one = LABEL == 0  # 2^53 alone, which float64 can hold
        torch.testing.assert_close(found.score(SIGNED[one], Y[one]), plain.score(LABEL[one], Y[one]))
        with pytest.raises(ValueError, match=f"x must hold labels of the estimate, got '{BIG + 3}'"):
            found.score(np.array([BIG + 3]), Y[:1])

    def test_score_of_small_ids_beside_large_ones(self) -> None:
        ids = np.where(LABEL == 1, 2**62, 5)
        found, plain = quick(ids, Y, discrete="x"), quick(LABEL, Y, discrete="x")
        small = LABEL == 0
        torch.testing.assert_close(found.score(ids[small], Y[small]), plain.score(LABEL[small], Y[small]))

    def test_each_column(self) -> None:
        columns = np.stack([SIGNED, BIG + np.roll(LABEL, 7)], 1)
        expected = mutual_info(np.stack([LABEL, np.roll(LABEL, 7)], 1), Y, discrete="x")
        np.testing.assert_allclose(mutual_info(columns, Y, discrete="x"), expected)
        found = mutual_info(Y[:, None], SIGNED, discrete="y")
        np.testing.assert_allclose(found, mutual_info(Y[:, None], LABEL), atol=0.02)


class TestNumbers:
    @pytest.mark.parametrize("side", ["x", "y", "given"])
    def test_different_integers_that_become_equal_are_refused(self, side: str) -> None:
        ids = np.stack([SIGNED, np.arange(120)], 1)
        sides = {"x": Y, "y": Y[::-1].copy(), "given": np.roll(Y, 3), side: ids}
        with pytest.raises(ValueError, match=rf"{side}\[:, 0\] {COLLIDE}.*subtract the smallest.*astype\(str\)"):
            quick(sides["x"], sides["y"], given=sides["given"])

    def test_of_a_frame_they_are_named(self) -> None:
        frame = pytest.importorskip("pandas").DataFrame({"a": Y, "user": SIGNED})
        with pytest.raises(ValueError, match=rf"x\['user'\] {COLLIDE}"):
            quick(frame, Y)

    def test_each_column_is_named(self) -> None:
        ids = BIG + np.arange(120)
        with pytest.raises(ValueError, match=r"X\[:, 1\] must hold integers that stay distinct as float64"):
            mutual_info(np.stack([np.arange(120), ids], 1), Y)

    def test_times_in_nanoseconds_are_numbers(self) -> None:
        time = 1_700_000_000_000_000_000 + (1_000_000 * Y).astype(np.int64)
        noise = np.random.default_rng(1).normal(size=120)
        # 2^53 ns are 104 days. At these times, float64 holds every 256th nanosecond.
        assert quick(time, Y + noise).nats == pytest.approx(quick(Y, Y + noise).nats, abs=1e-6)

    def test_batches(self) -> None:
        """Batches are read like one array: integers that float64 would merge are refused, and all others are read."""

        def batches(ids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
            return [(ids[:60], Y[:60]), (ids[60:], Y[60:])]

        with pytest.raises(ValueError, match=rf"x\[:, 0\] {COLLIDE}"):
            quick(batches(np.stack([SIGNED, np.arange(120)], 1)), None)
        for ids in (SIGNED, BIG + 1024 * np.arange(120), 2**60 + np.arange(120) % 3):
            assert quick(batches(ids), None).nats == quick(ids, Y).nats

    def test_a_constant_column_beside_few_changes_nothing(self) -> None:
        few = 2**60 + np.arange(120) % 3
        assert quick(np.stack([few, np.ones(120, dtype=np.int64)], 1), Y).nats == quick(few, Y).nats

    def test_decimals_and_fractions(self) -> None:
        noise = np.random.default_rng(1).normal(size=120)
        expected = quick(Y, Y + noise).nats
        for kind in (Decimal, Fraction):
            assert quick([kind(value) for value in Y], Y + noise).nats == expected
        with pytest.raises(ValueError, match="x must have a value everywhere, got 1 of 2 missing"):
            as_columns("x", [Decimal("NaN"), Decimal(1)])
        with pytest.raises(ValueError, match="x must have a value everywhere, got 1 of 2 missing"):
            as_columns("x", [Decimal("sNaN"), Decimal(1)])
        with pytest.raises(ValueError, match="x must be finite"):
            as_columns("x", [Decimal("1e999"), Decimal(1)])
        (column,) = as_columns("x", [Decimal("1e30"), Decimal(2)])
        assert column.values.tolist() == [1e30, 2.0]
        assert column.exact is not None
        assert column.exact.tolist() == [10**30, 2]

    def test_floats_cannot_name_labels_above(self) -> None:
        ids = 2**60 + 3 * (np.arange(120) % 4)
        estimate = estimate_mi(ids, Y, discrete="x", max_steps=0, random_state=0)
        with pytest.raises(TypeError, match="x must hold integers, as in the estimate, got floats"):
            estimate.score(ids.astype(float), Y)
        assert estimate.score(ids, Y).shape == (120,)

    def test_numbers_beyond_the_range_are_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="x must be finite as float64"):
            quick([10**400 + i for i in range(120)], Y)
        with pytest.raises(ValueError, match="x must be finite"):
            as_columns("x", np.array([np.longdouble("1e400"), 1]))


class TestGroups:
    @pytest.mark.parametrize("kind", [*KINDS, "Int64"])
    def test_ids_of_groups_are_apart(self, kind: str) -> None:
        codes = np.arange(20).repeat(6)
        assert as_groups(as_given(kind, BIG + codes), 120, 2).tolist() == codes.tolist()
        if kind != "Int64":
            ids = np.uint64(2**64 - 30) + codes.astype(np.uint64)
            assert as_groups(as_given(kind, ids), 120, 2).tolist() == codes.tolist()
