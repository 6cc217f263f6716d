"""`estimate_mi` as users call it: its results, its refusals, and that it reports on unseen rows only."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from infomax import MIEstimate, estimate_mi
from infomax.mi import fitting as module
from infomax.mi.input.folds import Fold
from infomax.mi.tasks import dense_gaussian, independent, student_t


@pytest.fixture(scope="module")
def gaussian() -> MIEstimate:
    x, y = dense_gaussian(3, 2, 0.6).sample(1500, seed=0)
    return estimate_mi(x, y, random_state=0, max_steps=30)


class TestAnswers:
    def test_a_gaussian(self, gaussian: MIEstimate) -> None:
        truth = dense_gaussian(3, 2, 0.6).nats
        assert gaussian.low < gaussian.nats < gaussian.high
        assert gaussian.nats == pytest.approx(truth, abs=0.06)
        assert gaussian.bits == pytest.approx(gaussian.nats / math.log(2))
        assert float(gaussian) == gaussian.nats

    def test_increasing_maps_of_coordinates_change_nothing_at_all(self, gaussian: MIEstimate) -> None:
        x, y = dense_gaussian(3, 2, 0.6).sample(1500, seed=0)
        mapped = estimate_mi(x.exp(), y**3, random_state=0, max_steps=30)
        assert mapped.nats == pytest.approx(gaussian.nats, abs=1e-6)

    @pytest.mark.parametrize("preprocess", ["ranks", "standardise"])
    def test_the_heaviest_tails_give_finite_numbers(self, preprocess: str) -> None:
        x, y = student_t(2, 2, dof=1).sample(800, seed=0)
        found = estimate_mi(x, y, random_state=0, max_steps=20, preprocess=preprocess)
        assert all(map(math.isfinite, [found.nats, found.low, found.high, *found.fold_nats, *found.curve_nats]))
        if preprocess == "ranks":
            assert found.nats == pytest.approx(student_t(2, 2, dof=1).nats, abs=0.12)

    def test_a_network_learns_without_a_start(self) -> None:
        task = dense_gaussian(1, 1, 0.8)
        x, y = task.sample(1000, seed=0)
        options = {"start": "none", "random_state": 0, "folds": 2}
        assert estimate_mi(x, y, max_steps=0, **options).bound == pytest.approx(0.0, abs=1e-6)
        assert 0.6 * task.nats < estimate_mi(x, y, max_steps=150, **options).bound < 1.2 * task.nats

    @pytest.mark.parametrize("estimator", ["infonce", "dv", "smile", "jsd", "tuba", "alpha_tuba"])
    def test_other_estimators_read_the_same_critics(self, estimator: str, gaussian: MIEstimate) -> None:
        x, y = dense_gaussian(3, 2, 0.6).sample(1500, seed=0)
        found = estimate_mi(x, y, estimator=estimator, random_state=0, max_steps=0)
        assert found.nats == pytest.approx(gaussian.nats, abs=0.05)

    @pytest.mark.parametrize("objective", ["dv", "mine", "infonce"])
    def test_other_objectives_train(self, objective: str) -> None:
        x, y = dense_gaussian(1, 1, 0.6).sample(400, seed=0)
        found = estimate_mi(x, y, objective=objective, random_state=0, max_steps=30, folds=2)
        assert found.nats == pytest.approx(dense_gaussian(1, 1, 0.6).nats, abs=0.15)

    def test_a_seed_decides_everything(self) -> None:
        x, y = dense_gaussian(1, 1).sample(200, seed=0)
        first, second, other = (estimate_mi(x, y, random_state=seed, max_steps=10, folds=2).nats for seed in (1, 1, 2))
        assert first == second != other

    def test_without_a_seed_torchs_decides(self) -> None:
        x, y = dense_gaussian(1, 1).sample(200, seed=0)
        values = []
        for _ in range(2):
            torch.manual_seed(3)
            values.append(estimate_mi(x, y, max_steps=0, folds=2).nats)
        assert values[0] == values[1]


def test_a_few_hundred_rows_tell_heavy_tails() -> None:
    """Copulas that differ in degrees of freedom are equally complex, so only their values decide between them."""
    x, y = student_t(2, 2, dof=1).sample(500, seed=3)
    found = estimate_mi(x, y, random_state=3, max_steps=0)
    assert found.starts.count("Student-t copula (1 degrees of freedom)") >= 3


class TestUnseenRows:
    """A large critic easily fits the noise of 200 rows. This must not show in the report."""

    @staticmethod
    def report() -> MIEstimate:
        x, y = independent(10, 10).sample(200, seed=0)
        return estimate_mi(x, y, random_state=0, max_steps=80, folds=2, hidden=(128, 64))

    def test_under_independence_the_interval_covers_0(self) -> None:
        assert self.report().low == 0.0

    def test_reporting_on_training_rows_would_be_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def everything(rows: int, folds: int, generator: torch.Generator, _: object) -> list[Fold]:
            return [Fold(*[torch.randperm(rows, generator=generator)] * 3) for _ in range(folds)]

        monkeypatch.setattr(module, "make_folds", everything)
        assert self.report().bound_low > 0.1


class TestInputs:
    def test_arrays_lists_integers_and_one_dimension(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.integers(0, 5, 200)
        y = x + rng.normal(size=200)
        of_array = estimate_mi(x, y, random_state=0, max_steps=0, folds=2)
        of_list = estimate_mi(x.tolist(), torch.from_numpy(y)[:, None], random_state=0, max_steps=0, folds=2)
        assert of_array.nats == of_list.nats > 0.1
        assert of_array.dims == (1, 1)

    def test_a_loader(self) -> None:
        x, y = dense_gaussian(2, 2).sample(200, seed=0)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=64)
        of_loader = estimate_mi(loader, random_state=0, max_steps=0, folds=2)
        assert of_loader.nats == estimate_mi(x, y, random_state=0, max_steps=0, folds=2).nats

    def test_constant_coordinates_are_left_out(self) -> None:
        x, y = dense_gaussian(2, 2).sample(200, seed=0)
        padded = torch.cat([x, torch.full((200, 1), 7.0)], 1)
        found = estimate_mi(padded, y, random_state=0, max_steps=0, folds=2)
        assert found.dims == (2, 2)
        assert found.nats == estimate_mi(x, y, random_state=0, max_steps=0, folds=2).nats

    def test_a_category_as_columns_of_0_and_1(self) -> None:
        generator = torch.Generator().manual_seed(0)
        label = torch.randint(3, (600,), generator=generator)
        x = 10.0 * label[:, None] + torch.randn(600, 1, generator=generator)
        found = estimate_mi(x, torch.nn.functional.one_hot(label, 3), random_state=0, max_steps=100, folds=2)
        assert found.nats == pytest.approx(math.log(3), abs=0.15)

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            (lambda x, y: (x[:90], y), ValueError, "same number of rows.*got 90 from .90, 2. and 100"),
            (lambda x, y: (x[:20], y[:20]), ValueError, "at least 50 rows.*got 20"),
            (lambda x, y: (x.index_fill(0, torch.tensor([3]), math.nan), y), ValueError, "x must be finite.*1 of 100"),
            (lambda x, y: (x, y.index_fill(0, torch.tensor([3, 4]), math.inf)), ValueError, "y must be finite.*2 of"),
            (lambda x, y: (torch.ones(100, 2), y), ValueError, "x must vary"),
            (lambda x, y: (x.view(100, 2, 1), y), ValueError, r"x must have shape .n,. or .n, d., got \(100, 2, 1\)"),
            (lambda x, y: (x, ["a"] * 100), ValueError, "y must vary"),
            (
                lambda x, y: (x, np.full(100, "2026-01-01", "M8[D]")),
                TypeError,
                "y must hold numbers or labels, got dates",
            ),
            (lambda x, y: (x, [{"a": 1}] * 100), TypeError, "y must hold numbers or labels, got objects of type dict"),
            (lambda x, y: (x, [None, "b"] * 50), ValueError, "y must have a value everywhere, got 50 of 100 missing"),
            (lambda x, y: (x, y.to(torch.complex64)), TypeError, "y must hold real numbers"),
            (lambda x, y: (x, None), TypeError, "y must be given together with x"),
            (lambda x, y: ([x, y, x], None), TypeError, "must give pairs"),
            (lambda x, y: ([], None), ValueError, "at least one batch"),
        ],
    )
    def test_what_cannot_be_measured_is_refused(
        self, change: Callable[..., tuple[object, object]], error: type[Exception], match: str
    ) -> None:
        x, y = dense_gaussian(2, 2).sample(100, seed=0)
        with pytest.raises(error, match=match):
            estimate_mi(*change(x, y))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"folds": 1}, "folds must be between 2 and 10"),
            ({"confidence": 95}, "confidence must be between 0 and 1"),
            ({"preprocess": "whiten"}, "preprocess must be one of"),
            ({"estimator": "best"}, "estimator must be one of"),
            ({"objective": "best"}, "one of"),
            (
                {"estimator": "club"},
                "estimator must have an optimal critic that is linear in the log density ratio; that of CLUB",
            ),
            ({"max_steps": -1}, "max_steps must be"),
            ({"hidden": ()}, "hidden must hold at least 1 size"),
        ],
    )
    def test_options_out_of_range_are_refused(self, options: dict[str, object], match: str) -> None:
        x, y = dense_gaussian(2, 2).sample(100, seed=0)
        with pytest.raises(ValueError, match=match):
            estimate_mi(x, y, **options)  # type: ignore[arg-type]


class TestResult:
    def test_it_reads_well(self, gaussian: MIEstimate) -> None:
        text = repr(gaussian)
        assert f"{gaussian.nats:.3f} nats = {gaussian.bits:.3f} bits" in text
        assert "95% interval" in text
        assert f"held-out critics read {gaussian.bound:.3f} [" in text
        assert "by nwj, a lower bound" in text
        assert "SATURATED" not in text
        assert str(gaussian).startswith(f"{gaussian.nats:.3f} nats [")

    def test_it_says_when_the_estimator_is_at_its_ceiling(self) -> None:
        x = torch.randn(400, 1)
        found = estimate_mi(x, x, estimator="infonce", random_state=0, max_steps=0, folds=2)
        assert found.saturated
        assert "SATURATED" in repr(found)
        assert found.bound <= math.log(100)

    def test_it_draws_itself(self, gaussian: MIEstimate) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        ax = gaussian.plot()
        assert ax.get_ylabel() == "mutual information, nats"
        assert gaussian.plot(ax) is ax
        plt.close("all")

    def test_it_draws_no_training_where_there_was_none(self) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        ax = estimate_mi(torch.arange(60.0), torch.arange(60.0) % 7, random_state=0, max_steps=0).plot()
        assert not [line for line in ax.get_lines() if "training" in str(line.get_label())]
        assert ax.get_xlabel() == ""
        plt.close("all")

    def test_a_bar(self, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("tqdm")
        x, y = dense_gaussian(1, 1).sample(100, seed=0)
        estimate_mi(x, y, random_state=0, max_steps=30, folds=2, progress=True)
        shown = capsys.readouterr().err
        assert "estimate_mi" in shown
        assert "100%" in shown.replace("\r", "\n").rstrip().rsplit("\n", 1)[-1]
