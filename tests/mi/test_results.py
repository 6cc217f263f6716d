"""The attributes of a result besides its nats: bits, a correlation, a share of the entropy."""

from __future__ import annotations

import copy
import math
import pickle
import threading

import numpy as np
import pytest

from infomax import MIEstimate, estimate_mi
from infomax.mi import mutual_info

RNG = np.random.default_rng(11)
LABELS = RNG.integers(0, 3, 300)
NOISE = RNG.normal(size=300)


def quick(x: object, y: object, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=0, folds=2, **options)  # type: ignore[arg-type]


def test_bits_of_every_end() -> None:
    found = quick(LABELS, LABELS + NOISE)
    assert found.bits == found.nats / math.log(2)
    for name in ("low", "high", "bound", "bound_low", "bound_high"):
        assert getattr(found.bits, name) == pytest.approx(getattr(found, name) / math.log(2))
    for other in (copy.deepcopy(found.bits), pickle.loads(pickle.dumps(found.bits))):
        assert other == found.bits
        assert vars(other) == vars(found.bits)


def test_the_correlation_of_normal_variables() -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 2000))
    assert quick(x, 0.6 * x + 0.8 * noise).correlation == pytest.approx(0.6, abs=0.04)
    assert 0.0 <= quick(x, noise).correlation < 0.1


class TestNormalised:
    def test_a_copy_of_labels_tells_all_of_them(self) -> None:
        found = quick(LABELS, LABELS)
        shares = np.bincount(LABELS) / 300
        entropy = float(-(shares * np.log(shares)).sum())
        assert found.entropies == pytest.approx((entropy, entropy))
        assert found.normalised == pytest.approx(1.0, abs=0.03)

    def test_one_side_of_labels(self) -> None:
        found = quick(LABELS.astype(str), LABELS + 3 * NOISE)
        assert found.entropies[1] is None
        assert found.normalised == pytest.approx(found.nats / found.entropies[0])
        assert quick(LABELS.astype(str), NOISE, given=LABELS + NOISE).entropies[0] == found.entropies[0]

    def test_numbers_have_no_entropy_to_share(self) -> None:
        with pytest.raises(ValueError, match=r"normalised needs a side of labels.*correlation"):
            _ = quick(NOISE, NOISE + RNG.normal(size=300)).normalised


class TestJobs:
    def test_threads_change_no_result(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = RNG.normal(size=(80, 3))
        y = x[:, 1] + RNG.normal(size=80)
        alone = mutual_info(x, y).tolist()
        threads = set()

        def noted(*sides: object, **options: object) -> MIEstimate:
            threads.add(threading.get_ident())
            return estimate_mi(*sides, **options)  # type: ignore[arg-type]

        monkeypatch.setattr("infomax.mi.per_column.estimate_mi", noted)
        assert mutual_info(x, y, n_jobs=2).tolist() == alone
        assert threads
        assert threading.get_ident() not in threads

    @pytest.mark.parametrize("jobs", [0, -2])
    def test_a_number_of_threads_that_is_none(self, jobs: int) -> None:
        with pytest.raises(ValueError, match="n_jobs must be a positive number of threads"):
            mutual_info(NOISE[:, None], LABELS, n_jobs=jobs)


class TestFrames:
    def test_columns_of_every_kind(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({
            "number": NOISE,
            "category": pandas.Categorical(np.array(list("xyz"))[LABELS]),
            "flag": LABELS == 1,
            "nullable": pandas.array(LABELS, dtype="Int64"),
            "text": np.array(list("abc"))[LABELS],
        }, index=np.arange(300, 600)[::-1])  # fmt: skip
        of_labels = quick(LABELS, LABELS + NOISE, discrete="x").nats
        series = pandas.Series(LABELS + NOISE)
        assert quick(frame["text"], series).nats == pytest.approx(of_labels, abs=0.02)
        assert quick(frame[["category"]], series).nats == pytest.approx(of_labels, abs=0.02)
        assert quick(frame["flag"], frame["text"]).nats == pytest.approx(quick(LABELS == 1, LABELS).nats, abs=0.02)
        assert quick(frame["nullable"], series).nats == quick(LABELS, LABELS + NOISE).nats
        assert quick(frame, series).dims == (5, 1)
        assert mutual_info(frame[["number", "text"]], LABELS).argmin() == 0

    @pytest.mark.parametrize(
        ("column", "error"),
        [
            (lambda pandas: pandas.Series([1.0, None] * 150), ValueError),
            (lambda pandas: pandas.Series(pandas.array([1, None] * 150, dtype="Int64")), ValueError),
            (lambda pandas: pandas.Series(["a", None] * 150), ValueError),
            (lambda pandas: pandas.Series(pandas.Categorical(["a", None] * 150)), ValueError),
            (lambda pandas: pandas.Series(pandas.date_range("2026", periods=300)), TypeError),
        ],
        ids=["number", "nullable", "text", "category", "date"],
    )
    def test_what_is_missing_is_said(self, column: object, error: type[Exception]) -> None:
        pandas = pytest.importorskip("pandas")
        with pytest.raises(error, match=r"x\['a'\]|x must"):
            quick(pandas.DataFrame({"a": column(pandas)}), NOISE)  # type: ignore[operator]

    def test_frames_of_polars(self) -> None:
        polars = pytest.importorskip("polars")
        names = np.array(list("xyz"))[LABELS]
        frame = polars.DataFrame({"a": names, "b": NOISE}).with_columns(polars.col("a").cast(polars.Categorical))
        expected = quick(names, LABELS + NOISE).nats
        assert quick(frame["a"], polars.Series(LABELS + NOISE)).nats == expected
        assert quick(frame, LABELS + NOISE).dims == (2, 1)


def test_stretches_of_a_slow_series_are_groups() -> None:
    """Two independent autoregressive series with coefficient 0.98 look dependent if each row counts as independent."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(2, 1200))
    series = np.zeros((2, 1200))
    for i in range(1, 1200):
        series[:, i] = 0.98 * series[:, i - 1] + steps[:, i]
    alone = quick(*series)
    blocks = quick(*series, groups=np.arange(1200) // 100)
    assert alone.low > 0.0
    assert blocks.low == 0.0
