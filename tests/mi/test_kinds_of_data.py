"""Labels, groups, a third variable, permutations, new rows, and columns measured one by one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi
from infomax.mi import mutual_info
from infomax.mi.closed_forms.marginals import Ranks
from infomax.mi.closed_forms.start import choose_start
from infomax.mi.input.folds import Fold, make_folds
from infomax.mi.reading.doubts import limit_of

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 600)
NOISE = RNG.normal(size=600)


def quick(x: object, y: object = None, steps: int = 0, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=steps, **options)  # type: ignore[arg-type]


class Series:
    """A column with the interface that the library reads in data frames of pandas and polars."""

    def __init__(self, values: np.ndarray, dtype: str) -> None:
        self._values, self.dtype = values, dtype

    def to_numpy(self) -> np.ndarray:
        return self._values


class Frame(dict[str, Series]):
    @property
    def columns(self) -> list[str]:
        return list(self)


class TestLabels:
    def test_codings_agree(self) -> None:
        y = 2.0 * LABELS + NOISE
        names = np.array(["d", "b", "a", "c"])[LABELS]
        found = [
            quick(x, y).nats
            for x in (LABELS, np.eye(4)[LABELS], names, names.tolist(), Frame(a=Series(names, "category")))
        ]
        assert max(found) - min(found) < 0.03
        assert min(found) > 0.8

    def test_labels_without_an_order(self) -> None:
        """Codes 0 and 3 have one mean of y, codes 1 and 2 another. As numbers, the codes hardly correlate with y."""
        y = np.array([0.0, 5.0, 5.0, 0.0])[LABELS] + NOISE
        assert quick(LABELS, y, discrete="x").nats == pytest.approx(math.log(2), abs=0.08)

    def test_all_starts_are_compared_on_the_same_of_many_validation_rows(self) -> None:
        x, rows = torch.from_numpy(np.random.default_rng(1).normal(size=(1200, 1))), torch.arange(1200)
        fold = Fold(train=rows[:200], validation=rows[200:1100], test=rows[1100:])
        y = (x.abs() > 1).double()
        start = choose_start(x, y, (Ranks(x[:200]), Ranks(y[:200])), fold, labels=(False, True))
        assert start.name == "softmax regression"
        assert start.nats == pytest.approx(0.62, abs=0.1)  # the entropy of y

    def test_booleans_and_xor(self) -> None:
        a, b = RNG.integers(0, 2, (2, 600)).astype(bool)
        assert quick(a, a ^ b).nats < 0.01
        assert quick(np.stack([a, b], 1), a ^ b).nats == pytest.approx(math.log(2), abs=0.03)

    def test_mixed_columns_of_a_frame(self) -> None:
        frame = Frame(
            number=Series(NOISE, "float64"), label=Series(np.array(list("wxyz"), dtype=object)[LABELS], "object")
        )
        y = LABELS + 0.3 * np.random.default_rng(5).normal(size=600)
        found = quick(frame, y)
        assert found.dims == (2, 1)
        assert found.nats > 0.9

    def test_frames_of_pandas_and_polars(self) -> None:
        y = LABELS + 0.3 * NOISE
        names = np.array(list("wxyz"))[LABELS]
        expected = quick(names, y).nats
        for library in ("pandas", "polars"):
            try:
                frames = __import__(library)
            except ImportError:
                continue
            assert quick(frames.DataFrame({"a": names}), frames.Series(y)).nats == expected

    def test_an_array_that_is_read_only_gives_no_warning(self) -> None:
        x = NOISE.copy()
        x.flags.writeable = False
        quick(x, LABELS)


class TestGroups:
    def test_a_group_is_not_split(self) -> None:
        groups = torch.arange(60).repeat_interleave(torch.arange(60) % 5 + 1)
        folds = make_folds(len(groups), 5, torch.Generator().manual_seed(0), groups)
        assert sorted(torch.cat([fold.test for fold in folds]).tolist()) == list(range(len(groups)))
        for fold in folds:
            parts = [set(groups[part].tolist()) for part in fold]
            assert not parts[0] & parts[1]
            assert not parts[0] & parts[2]
            assert not parts[1] & parts[2]
        assert len({len(fold.train) for fold in folds}) == len({len(fold.validation) for fold in folds}) == 1

    def test_locations_of_images(self) -> None:
        """100 images with 16 locations each, without information.

        With every location as an independent row they read 0.76 nats.
        """
        rng = np.random.default_rng(2)
        x = np.repeat(rng.normal(size=(100, 2)), 16, 0) + 0.1 * rng.normal(size=(1600, 2))
        y = np.repeat(rng.normal(size=(100, 1)), 16, 0)
        found = quick(x, y, 20, groups=np.repeat(np.arange(100), 16), permutations=60)
        assert found.nats < 0.1
        assert found.low == 0.0
        assert found.p_value is not None
        assert found.p_value > 0.02

    def test_equal_rows_share_a_fold(self) -> None:
        """Independent rows that each occurred five times once read 0.83 nats."""
        x, y = np.random.default_rng(2).normal(size=(2, 200)).repeat(5, 1)
        found = quick(x, y, 20)
        assert found.low == 0.0
        assert found.nats < 0.05

    def test_a_value_that_is_often_taken_makes_no_copies(self) -> None:
        rng = np.random.default_rng(3)
        x = np.where(rng.random(600) < 0.5, 0.0, rng.normal(size=600))
        y = np.where(rng.random(600) < 0.5, 0.0, rng.normal(size=600))
        assert quick(x, y).nats < 0.03
        assert quick(x, x * (rng.random(600) < 0.9)).nats > 0.8

    @pytest.mark.parametrize(
        ("groups", "match"),
        [
            (np.arange(599), "group of each of the 600 rows"),
            (np.arange(600) % 7, "at least two groups for each of the 5 folds, 10"),
        ],
    )
    def test_groups_that_do_not_do(self, groups: np.ndarray, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            quick(LABELS, NOISE, groups=groups)


class TestPermutations:
    def test_dependence_has_the_least_p_value(self) -> None:
        assert quick(LABELS, LABELS + NOISE, permutations=99).p_value == 0.01
        assert quick(LABELS, NOISE).p_value is None

    def test_under_independence_it_is_not_small_too_often(self) -> None:
        values = []
        for seed in range(12):
            x, y = np.random.default_rng(seed).normal(size=(2, 120))
            values.append(estimate_mi(x, y, random_state=seed, max_steps=0, permutations=39, folds=2).p_value)
        assert sum(value <= 0.1 for value in values) <= 4


class TestNewRows:
    def test_scores_are_near_those_of_held_out_rows(self) -> None:
        x, noise = np.random.default_rng(6).normal(size=(2, 800))
        y = x + noise
        found = quick(x, y, 20)
        assert found.pointwise.shape == (800,)
        assert float(found.pointwise.mean()) == pytest.approx(found.bound, abs=0.05)
        correlation = np.corrcoef(found.score(x, y).numpy(), found.pointwise.numpy())[0, 1]
        assert correlation > 0.95
        exact = 0.5 * math.log(2) - 0.5 * (y - x) ** 2 + 0.25 * y**2
        assert np.corrcoef(found.score(x, y).numpy(), exact)[0, 1] > 0.95

    def test_labels_keep_their_names(self) -> None:
        names = np.array(list("wxyz"))[LABELS]
        found = quick(names, LABELS + 0.1 * NOISE)
        kept = names != "w"
        of_some = found.score(names[kept], (LABELS + 0.1 * NOISE)[kept])
        torch.testing.assert_close(of_some, found.score(names, LABELS + 0.1 * NOISE)[torch.from_numpy(kept)])

    def test_other_columns_are_refused(self) -> None:
        found = quick(NOISE, LABELS)
        with pytest.raises(ValueError, match="x must have 1 columns, as in the estimate, got 2"):
            found.score(np.ones((3, 2)), LABELS[:3])
        with pytest.raises(ValueError, match="same number of rows, got 3 and 4"):
            found.score(NOISE[:3], LABELS[:4])

    def test_each_argument_is_named_where_one_is_given(self) -> None:
        x, y, z = NOISE[:540].reshape(3, 180)
        found = quick(x, y, given=z, folds=2)
        one, two, four = np.ones((3, 1)), np.ones((3, 2)), np.ones((4, 1))
        for of_x, of_y, of_z, match in (
            (two, one, one, "x must have 1 columns, as in the estimate, got 2"),
            (one, two, one, "y must have 1 columns, as in the estimate, got 2"),
            (one, one, two, "given must have 1 columns, as in the estimate, got 2"),
            (one, one, four, "given must have as many rows as x, 3, got 4"),
            (four, one, one, "given must have as many rows as x, 4, got 3"),
            (one, four, one, "x and y must have the same number of rows, got 3 and 4"),
        ):
            with pytest.raises(ValueError, match=f"^{match}$"):
                found.score(of_x, of_y, given=of_z)


class TestPerColumn:
    def test_one_warning_names_all_flagged_columns(self) -> None:
        x = np.random.default_rng(7).normal(size=(300, 3))
        with pytest.warns(UserWarning, match=r"2 of 4 columns are flagged") as said:
            found = mutual_info(np.concatenate([x, -2 * x[:, 1:2]], 1), x[:, 1])
        assert len(said) == 1
        assert "X[:, 1]: 300 rows can certify little beyond log 300 - 2 = 3.7 nats" in str(said[0].message)
        assert "X[:, 3]: 300 rows" in str(said[0].message)
        assert said[0].filename == __file__
        assert found[[1, 3]].min() > 3.7

    def test_an_array_in_the_manner_of_scikit_learn(self) -> None:
        selection = pytest.importorskip("sklearn.feature_selection")
        rng = np.random.default_rng(7)
        x = rng.normal(size=(300, 4))
        x[:, 3] = 1.0
        y = (x[:, 1] > 0).astype(int)
        found = mutual_info(x, y)
        assert found.shape == (4,)
        assert found.argmax() == 1
        assert found[3] == 0.0
        assert found[1] == pytest.approx(math.log(2), abs=0.1)
        chosen = selection.SelectKBest(mutual_info, k=1).fit(x, y).get_support()
        assert chosen.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: quick(LABELS, NOISE, discrete="z"), ValueError, "discrete must be one of"),
        (lambda: quick(LABELS, NOISE, permutations=0), ValueError, "permutations must be at least 1"),
        (lambda: quick(np.arange(600).astype(str), NOISE), ValueError, "at most 300 labels in a column, got 600"),
    ],
)
def test_options_out_of_range(make: Callable[[], object], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.slow
def test_ten_classes_of_digits() -> None:
    """A support vector machine proves at least 2.23 nats; canonical correlations alone read 1.95."""
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    found = quick(x, y)
    assert set(found.starts) == {"softmax regression"}
    assert 2.1 < found.bound < math.log(10)
    assert 2.18 < found.nats < math.log(10)


class TestEntropy:
    """Information never exceeds the entropy of the labels."""

    @pytest.mark.parametrize("classes", [3, 30])
    def test_copies_tell_no_more_than_there_is(self, classes: int) -> None:
        labels = np.random.default_rng(3).integers(0, classes, 900)
        found = quick(labels, labels, discrete="both", folds=2)
        assert found.low <= found.nats <= min(found.entropies) <= found.high
        assert found.nats > 0.95 * min(found.entropies)

    def test_an_estimate_of_all_there_is_hides_nothing(self) -> None:
        assert limit_of(3.69, reading=3.7, rows=100)
        assert limit_of(3.69, reading=3.7, rows=480, blurred=True)
        assert not limit_of(3.69, reading=3.7, rows=100, most=3.69)
        assert not limit_of(3.69, reading=3.7, rows=480, blurred=True, most=3.69)


def test_a_label_that_the_estimate_has_not_seen_is_refused_as_a_number_too() -> None:
    found = quick(NOISE, np.arange(600) % 4, discrete="y", folds=2)
    with pytest.raises(ValueError, match=r"y must hold labels of the estimate, got 0.5, 9; leave these rows out"):
        found.score(NOISE[:3], np.array([1.0, 9.0, 0.5]))


def test_a_side_without_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="x must have at least one column, got none"):
        quick(np.zeros((600, 0)), NOISE)
    with pytest.raises(ValueError, match="y must have at least one column, got none"):
        quick(NOISE, np.zeros((600, 0)))


@pytest.mark.parametrize("option", ["estimator", "objective"])
def test_an_unknown_estimator_is_named_by_its_argument(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be one of"):
        quick(NOISE, LABELS, **{option: "foo"})
    with pytest.raises(TypeError, match=f"{option} must be a short name, a module, or a callable"):
        quick(NOISE, LABELS, **{option: 3})


def test_a_confidence_is_shown_with_its_digits() -> None:
    assert "99.9% interval" in repr(quick(NOISE, LABELS, confidence=0.999, folds=2))
