"""A number in nats is never a failure in disguise: strong dependence is large, finite and flagged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from infomax import FLO, TUBA, MIEstimate, ScoreRegularised, estimate_mi
from infomax.mi.input.columns import as_columns
from infomax.mi.input.sides import as_side
from infomax.mi.reading.doubts import Limit, doubts_of, limit_of
from infomax.mi.reading.entropy import largest_entropy
from infomax.mi.reading.mixing import mix
from infomax.scores import PairScores

X = np.random.default_rng(0).normal(size=1000)


def quick(x: object, y: object, steps: int = 0, **options: object) -> MIEstimate:
    return estimate_mi(x, y, random_state=0, max_steps=steps, **options)  # type: ignore[arg-type]


def check_strong(found: MIEstimate, at_least: float) -> None:
    ends = [found.nats, found.low, found.high, found.bound, found.bound_low, found.bound_high]
    assert all(map(math.isfinite, [*ends, *found.fold_nats, *found.pointwise.tolist()]))
    assert found.bound > at_least
    assert found.nats > at_least
    assert found.low <= found.nats <= found.high < 30
    assert not np.isnan(found.weights).any()
    assert found.saturated
    assert "SATURATED" in str(found)
    assert "SATURATED" in repr(found)


class TestStrongDependence:
    @pytest.mark.parametrize(
        ("x", "y"),
        [(X, X), (X, 2 * X), (X, X**3), (np.exp(X), X), (X, -X), (X, X + 1e-3 * np.roll(X, 7))],
        ids=["same", "twice", "cubed", "exp", "minus", "little noise"],
    )
    @pytest.mark.parametrize("steps", [0, 20])
    def test_one_coordinate(self, x: np.ndarray, y: np.ndarray, steps: int) -> None:
        check_strong(quick(x, y, steps), 4.0)

    def test_a_circle_whose_critics_learnt_most_of_it(self) -> None:
        """The truth is infinite. The estimate was 3.8 [3.6, 4.4] without a flag."""
        angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 600)
        found = quick(np.cos(angle), np.sin(angle), 30)
        assert any("from 5 to 2 neighbours" in doubt for doubt in found.doubts)
        noisy = np.stack([np.cos(angle), np.sin(angle)]) + 0.05 * np.random.default_rng(1).normal(size=(2, 600))
        assert not quick(*noisy, 30).saturated

    def test_several_coordinates(self) -> None:
        rows = np.random.default_rng(1).normal(size=(1000, 3))
        check_strong(quick(rows, rows), 5.0)
        check_strong(quick(rows, rows[:, :1]), 4.0)

    def test_few_rows(self) -> None:
        x = np.random.default_rng(2).normal(size=200)
        check_strong(quick(x, x + 1e-3 * np.random.default_rng(3).normal(size=200)), 2.5)

    def test_a_gaussian_of_eight_nats(self) -> None:
        x, noise = np.random.default_rng(4).normal(size=(2, 4000))
        check_strong(quick(x, math.sqrt(1 - math.exp(-16)) * x + math.exp(-8) * noise), 5.5)

    @pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_many_coordinates(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(2000, 20))
        check_strong(quick(x, math.sqrt(1 - math.exp(-1)) * x + math.exp(-0.5) * generator.normal(size=x.shape)), 5.0)
        x = generator.normal(size=(1000, 64))
        check_strong(quick(x, x + generator.normal(size=x.shape)), 4.9)

    @pytest.mark.parametrize("nats", [8, pytest.param(5, marks=pytest.mark.slow)])
    def test_one_sharp_direction_among_several_coordinates(self, nats: int) -> None:
        """Ranks of 2,000 rows have larger errors than the noise of x1 + x2.

        With ranks alone, 8 nats read as 3.6 and 5 nats as 3.5.
        """
        generator = np.random.default_rng(5)
        x = generator.normal(size=(2000, 2))
        total = x.sum(1) + math.sqrt(2) * math.exp(-nats) * generator.normal(size=2000)
        found = quick(x, np.stack([total, generator.normal(size=2000)], 1))
        assert found.nats == pytest.approx(nats, abs=0.3)
        assert found.low <= nats <= found.high
        assert "blur" not in str(found.doubts)

    def test_one_sharp_direction_that_is_no_sum_of_coordinates_is_flagged(self) -> None:
        """Each coordinate is cubed. Ranks undo the cubes but blur the sum."""
        generator = np.random.default_rng(5)
        x = generator.normal(size=(2000, 2))
        total = x.sum(1) + math.sqrt(2) * math.exp(-8) * generator.normal(size=2000)
        found = quick(x**3, np.stack([total, generator.normal(size=2000)], 1))
        assert found.nats < 7
        assert "ranks of 2000 rows blur" in str(found.doubts)

    def test_many_equal_levels(self) -> None:
        levels = np.random.default_rng(0).permutation(np.repeat(np.arange(200), 5))  # 5.30 nats
        found = quick(levels, levels)
        assert found.saturated or found.nats == pytest.approx(math.log(200), abs=0.5)
        assert found.nats > 3.5


def test_a_start_that_blows_up_on_test_rows_does_not_decide() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        x = torch.randn(2000, 1)
        y = x + torch.randn(2000, 1)
    found = quick(x, y)
    assert found.nats == pytest.approx(0.5 * math.log(2), abs=0.05)
    assert min(found.fold_nats) > 0.2


class TestEstimators:
    @pytest.mark.parametrize("name", ["kl", "hellinger", "rkl", "gan"])
    def test_each_reads_its_own_optimal_critic(self, name: str) -> None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=1000)
        y = math.sqrt(0.75) * x + 0.5 * rng.normal(size=1000)  # 0.693 nats
        assert quick(x, y, estimator=name).bound == pytest.approx(quick(x, y, estimator="nwj").bound, abs=0.02)

    @pytest.mark.parametrize("objective", ["nwj", "kl", "hellinger", "rkl", "smile", "tuba"])
    def test_each_trains_towards_the_log_ratio(self, objective: str) -> None:
        x, noise = np.random.default_rng(1).normal(size=(2, 600))
        y = 0.8 * x + 0.6 * noise  # 0.511 nats
        found = quick(x, y, 60, objective=objective, start="none", folds=2)
        assert found.bound == pytest.approx(0.511, abs=0.2)

    @pytest.mark.parametrize("role", ["estimator", "objective"])
    @pytest.mark.parametrize("name", ["chi2", "wasserstein", "club", "leave_one_out", FLO])
    def test_what_cannot_read_log_ratios_is_refused(self, role: str, name: object) -> None:
        with pytest.raises(
            ValueError, match=f"{role} must have an optimal critic that is linear in the log density ratio"
        ):
            quick(X, X, **{role: name})

    def test_a_module_that_does_not_say_is_refused(self) -> None:
        class Silent(nn.Module):
            def forward(self, scores: PairScores) -> torch.Tensor:
                return -scores.joint().mean()

            def mutual_information(self, scores: PairScores) -> torch.Tensor:
                return scores.joint().mean()

        with pytest.raises(TypeError, match=r"estimator must say how its optimal critic.*Silent"):
            quick(X, X, estimator=Silent())

    @pytest.mark.parametrize("estimator", ["infonce", TUBA(alpha=1), ScoreRegularised("infonce")])
    def test_the_ceiling_is_the_estimators_own(self, estimator: object) -> None:
        x, noise = np.random.default_rng(0).normal(size=(2, 1000))
        y = math.sqrt(1 - math.exp(-11)) * x + math.exp(-5.5) * noise  # 5.5 nats
        found = quick(x, y, estimator=estimator)
        assert found.saturated
        assert any("cannot pass" in doubt for doubt in found.doubts)


class TestDoubts:
    @staticmethod
    def of(nats: float = 0.5, **changes: object) -> tuple[str, ...]:
        options: dict[str, object] = {
            "limit": None, "reading": nats, "standard_error": 0.02, "folds": [nats - 0.02, nats + 0.02],
            "estimator": "nwj", "ceiling": math.inf,
        }  # fmt: skip
        return doubts_of(nats, **{**options, **changes})  # type: ignore[arg-type]

    def test_each(self) -> None:
        assert self.of() == ()
        assert "1000 rows can certify little beyond log 1000 - 2 = 4.9 nats" in self.of(limit=Limit(1000))[0]
        assert "ranks of 1000 rows blur" in self.of(limit=Limit(1000, blurred=True))[0]
        assert "cannot pass" in self.of(4.4, ceiling=math.log(100))[0]
        assert "the folds disagree: -0.90 to 0.60" in self.of(folds=[0.5, 0.6, -0.9])[0]
        assert "2.00 nats beyond the held-out critics" in self.of(2.5, reading=0.5)[0]
        assert self.of(1.4, reading=0.5) == ()
        assert "20 % of the rows have a label" in self.of(alone=0.2)[0]
        assert self.of(alone=0.05) == ()
        assert "the critics failed" in self.of(0.0, reading=-0.5, folds=[-0.5, -0.5])[0]


class TestLimit:
    def test_only_what_exceeds_it_has_one(self) -> None:
        def of(nats: float, reading: float = 0.0, *, blurred: bool = False) -> Limit | None:
            return limit_of(nats, reading=reading, rows=1000, blurred=blurred)

        assert of(math.log(1000) - 1.9) == of(0.1, math.log(1000) - 1.9) == Limit(1000)
        assert of(math.log(1000) - 2.1) is None
        assert of(2.8) is None
        assert of(2.8, blurred=True) == Limit(1000, blurred=True)
        assert of(2.6, blurred=True) is None
        assert of(5.0, blurred=True) == Limit(1000)

    def test_ten_times_the_rows(self) -> None:
        assert Limit(1000).with_rows(10) == pytest.approx(math.log(10000) - 2)
        assert Limit(1000, blurred=True).with_rows(10) == pytest.approx(math.log(10000) / 2 - 0.75)

    def test_copies_certify_nothing(self) -> None:
        """The limit, the sentence of repr and the line of the plot are those of the different rows."""
        found = quick(np.repeat(X[:500], 4), np.repeat(X[:500], 4))
        assert found.rows == 2000
        assert found.limit == Limit(500)
        assert found.nats > found.limit.nats
        assert f"with ten times the rows, {math.log(5000) - 2:.1f} nats could be" in repr(found)
        pytest.importorskip("matplotlib")
        lines = {line.get_label(): line.get_ydata()[0] for line in found.plot().lines}
        assert lines["what these rows can certify"] == pytest.approx(math.log(500) - 2)

    def test_an_ordinary_estimate_has_none(self) -> None:
        found = quick(X, X + np.random.default_rng(1).normal(size=1000))
        assert found.limit is None
        assert "ten times" not in repr(found)


class TestMixing:
    def test_no_weight_is_nan_however_far_the_candidates_are(self) -> None:
        tables = torch.zeros(4, 50, 50, dtype=torch.float64)
        tables[1] = -40.0
        tables[1, :, 0] = 40.0
        tables[2], tables[3] = 80.0 * torch.randn(2, 50, 50, dtype=torch.float64)
        mixture = mix(tables, 1000)
        assert mixture.weights.isfinite().all()
        scores = mixture.scores(tables)
        assert scores.isfinite().all()
        assert scores.min() >= math.log(1 / 1000) - 1e-9

    @pytest.mark.parametrize("outliers", [0, 1, 30])
    def test_the_mean_of_the_ratio_is_one_and_rests_on_ten_pairs(self, outliers: int) -> None:
        tables = torch.randn(1, 60, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        tables[0, :outliers, 1] = 40.0
        mixture = mix(tables, 1000)
        ratios = mixture.scores(tables)[:, 1:].exp()
        assert float(ratios.mean()) == pytest.approx(1.0, abs=1e-6)
        assert float(ratios.max() / ratios.sum()) <= 0.1 + 1e-9


def test_masked_values_are_refused() -> None:
    masked = np.ma.masked_array(X, mask=np.arange(1000) < 3)
    with pytest.raises(ValueError, match="x must have a value everywhere, got masked values in 3 of 1000 rows"):
        quick(masked, X)
    with pytest.raises(ValueError, match="y must have a value everywhere"):
        quick(X, masked)
    noise = np.random.default_rng(9).normal(size=1000)
    nothing_masked = quick(np.ma.masked_array(X + noise, mask=False), X)
    assert nothing_masked.nats == quick(X + noise, X).nats


class TestRandomState:
    def test_numpy_integers_and_generators(self) -> None:
        y = X + np.random.default_rng(1).normal(size=1000)
        by = {
            name: estimate_mi(X, y, random_state=state, max_steps=0).nats
            for name, state in {
                "int": 3, "numpy": np.int64(3), "torch": torch.Generator().manual_seed(3),
                "generator": np.random.default_rng(3), "again": np.random.default_rng(3),
            }.items()
        }  # fmt: skip
        assert by["int"] == by["numpy"] == by["torch"]
        assert by["generator"] == by["again"]

    def test_others_are_refused(self) -> None:
        with pytest.raises(TypeError, match="random_state must be an integer"):
            estimate_mi(X, X, random_state="seed", max_steps=0)  # type: ignore[arg-type]


class TestFloat:
    def test_it_is_a_float(self) -> None:
        import copy
        import json
        import pickle

        found = quick(X, X + np.random.default_rng(1).normal(size=1000))
        assert found == found.nats == float(found)
        assert f"{found:.3f}" == f"{found.nats:.3f}"
        assert round(found, 2) == round(found.nats, 2)
        assert max(0.1, found) is found
        assert json.loads(json.dumps({"nats": found})) == {"nats": found.nats}
        assert hash(found) == hash(found.nats)
        for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
            assert other == found
            assert repr(other) == repr(found)


class TestIdentifiers:
    """Labels that occur once were read as 0 nats with an interval around it, and no flag."""

    NAMES = np.array([f"id{i}" for i in range(100)])

    @pytest.mark.parametrize("other", ["numbers", "itself", "two classes"])
    def test_they_are_flagged(self, other: str) -> None:
        rng = np.random.default_rng(0)
        x = {"numbers": rng.normal(size=100), "itself": self.NAMES, "two classes": np.arange(100) % 2 == 0}[other]
        found = estimate_mi(x, self.NAMES, random_state=0, max_steps=0)
        assert any("100 % of the rows have a label that no other row has" in doubt for doubt in found.doubts)
        assert "SATURATED" in str(found)

    def test_a_rare_label_or_two_is_not(self) -> None:
        rng = np.random.default_rng(0)
        y = np.where(np.arange(300) < 298, np.arange(300) % 3, np.arange(300)).astype(str)
        assert not estimate_mi(rng.normal(size=300), y, random_state=0, max_steps=0).saturated


@pytest.mark.parametrize("levels", [2, 10, 40])
def test_the_upper_end_is_what_the_labels_can_hold(levels: int) -> None:
    """It went up to the logarithm of the rows: 4.76 nats for 40 labels, which hold 3.69, and then to 3.96."""
    labels = np.random.default_rng(0).permutation(np.arange(120) % levels).astype(str)
    found = estimate_mi(labels, labels, random_state=0, max_steps=0)
    entropy = math.log(levels)
    assert found.nats <= found.high + 1e-12
    assert found.high == pytest.approx(entropy)


def test_labels_of_one_row_leave_room_for_labels_that_were_not_seen() -> None:
    labels = np.append(np.arange(99) % 9, 9).astype(str)
    side = as_side("x", as_columns("x", labels))
    assert largest_entropy(side, 0.95) > math.log(10)
    assert largest_entropy(as_side("x", as_columns("x", labels[:99])), 0.95) == pytest.approx(math.log(9))


def test_an_upper_end_of_the_entropy_holds_it() -> None:
    """For labels of unequal shares: the upper end of a 95 % interval is above the true entropy in 39 of 40 samples."""
    shares = torch.softmax(torch.linspace(0, 3, 12, dtype=torch.float64), 0)
    truth = float(-(shares * shares.log()).sum())
    held = 0
    for seed in range(400):
        codes = torch.multinomial(shares, 200, replacement=True, generator=torch.Generator().manual_seed(seed))
        side = as_side("x", as_columns("x", codes.numpy().astype(str)))
        held += largest_entropy(side, 0.95) >= truth
    assert 384 <= held < 400


def test_neighbours_far_beyond_the_critics_are_flagged() -> None:
    """Each wave is too fast for the critics, and neighbours see only a part of it: 1.6 nats of infinitely many."""
    x = np.random.default_rng(0).normal(size=1000)
    found = estimate_mi(x, x % 0.25, random_state=0, max_steps=0)
    assert found.nats > 1
    assert any("nats beyond the held-out critics" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("values", [{"a": [1.0] * 60}, (float(i) for i in range(60)), set(range(60))])
def test_what_is_no_table_is_refused_by_its_type(values: object) -> None:
    with pytest.raises(TypeError, match=r"^x must be a tensor, an array, a list of rows or a data frame, got a "):
        estimate_mi(values, np.arange(60.0))  # type: ignore[arg-type]
