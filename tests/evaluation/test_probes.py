"""Probes separate separable classes, stay at chance on random labels, and repeat for the same seed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.memory import peak_bytes
from infomax.evaluation import LinearProbe, MLPProbe, Standardise, accuracy, fit, knn_probe, linear_probe, mlp_probe
from infomax.evaluation.fit import learning_rate

PROBES = {
    "mlp": partial(mlp_probe, batch_size=32, epochs=15),
    "linear": partial(linear_probe, batch_size=32, epochs=15, lr=0.01),
    "knn": knn_probe,
}
TRAINED = ["mlp", "linear"]


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def blobs(rows: int, distance: float = 6.0) -> tuple[Tensor, Tensor]:
    """Return features and labels of four round classes."""
    labels = torch.randint(4, (rows,), generator=seed(rows))
    centres = distance * torch.eye(4, 10)
    return torch.randn(rows, 10, generator=seed(rows + 1)) + centres[labels], labels


def rings(rows: int) -> tuple[Tensor, Tensor]:
    """Return features and labels of two concentric rings, which no line separates."""
    labels = torch.randint(2, (rows,), generator=seed(rows))
    points = torch.randn(rows, 2, generator=seed(rows + 1))
    return points / points.norm(dim=1, keepdim=True) * (1 + 2 * labels)[:, None], labels


def stop(steps: list[tuple[str, int, int | None]], step: tuple[str, int, int | None]) -> None:
    steps.append(step)
    raise InterruptedError


@pytest.mark.parametrize("probe", PROBES)
def test_separable_classes_are_told_apart(probe: str) -> None:
    assert PROBES[probe](*blobs(512), *blobs(256), random_state=0) > 0.98


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("probe", TRAINED)
def test_a_probe_trains_where_gradients_are_off(probe: str, mode: type) -> None:
    """Lightning turns gradients off in its validation hooks."""
    given = (*blobs(128), *blobs(64))
    expected = PROBES[probe](*given, random_state=0)
    with mode():
        there = [values.clone() for values in given]  # made in that mode
        assert PROBES[probe](*there, random_state=0) == expected
        assert not torch.is_grad_enabled()


def test_a_probe_seeds_no_other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe leaves the random state of GPUs unchanged, where a training may be running."""
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    before = torch.get_rng_state()
    linear_probe(*blobs(64), *blobs(64), epochs=1, random_state=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not seeds


@pytest.mark.parametrize("probe", PROBES)
def test_random_labels_leave_chance(probe: str) -> None:
    features, labels = torch.randn(800, 10), torch.arange(800) % 4
    result = PROBES[probe](features[:400], labels[:400], features[400:], labels[400:], random_state=0)
    assert 0.15 < result < 0.35  # at least four standard errors around 1 / 4


def test_only_the_hidden_layer_and_neighbours_see_rings() -> None:
    results = {name: probe(*rings(600), *rings(300), random_state=0) for name, probe in PROBES.items()}
    assert results["mlp"] > 0.85
    assert results["linear"] < 0.7


def test_knn_sees_rings_by_distance_and_not_by_angle() -> None:
    assert knn_probe(*rings(600), *rings(300), metric="l2") > 0.95
    assert knn_probe(*rings(600), *rings(300), metric="cosine") < 0.7


@pytest.mark.parametrize("probe", TRAINED)
class TestSeeds:
    def run(self, probe: str, generator: torch.Generator | None) -> float:
        return PROBES[probe](*blobs(256, 1.5), *blobs(1000, 1.5), random_state=generator, epochs=2)

    def test_the_same_seed_gives_the_same_result_whatever_ran_before(self, probe: str) -> None:
        first = self.run(probe, seed(7))
        torch.rand(3)
        assert self.run(probe, seed(7)) == first

    def test_seeds_differ(self, probe: str) -> None:
        assert len({self.run(probe, seed(value)) for value in range(5)}) > 1

    def test_the_global_generator_is_left_alone(self, probe: str) -> None:
        before = torch.get_rng_state()
        self.run(probe, seed(7))
        assert torch.equal(torch.get_rng_state(), before)

    def test_without_a_generator_the_global_one_serves(self, probe: str) -> None:
        torch.manual_seed(5)
        first = self.run(probe, None)
        assert not torch.equal(torch.get_rng_state(), torch.manual_seed(5).get_state())
        assert self.run(probe, None) == first


@pytest.mark.parametrize("probe", PROBES)
class TestLabels:
    def test_any_numbers_serve(self, probe: str) -> None:
        features, labels = blobs(256)
        names = torch.tensor([100, 7, 3, 50])
        result = PROBES[probe](features, names[labels].int(), features, names[labels].int(), random_state=0)
        assert result > 0.98

    def test_a_class_never_seen_is_missed(self, probe: str) -> None:
        features, labels = blobs(256)
        unseen = torch.full_like(labels, 9)
        assert PROBES[probe](features, labels, features, unseen, random_state=0) == 0.0

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({0: torch.zeros(64, 10, dtype=torch.int)}, TypeError, "train_features must have a real floating dtype"),
            ({1: torch.zeros(64)}, TypeError, "train_labels must be .* integer class numbers, got torch.float32"),
            ({1: [0] * 64}, TypeError, "train_labels must be .* integer class numbers, got list"),
            ({3: torch.zeros(63).long()}, ValueError, r"\(N, D\) and \(N,\), got \(64, 10\) and \(63,\)"),
            ({2: torch.zeros(64, 9)}, ValueError, r"the same width, got \(64, 10\) and \(64, 9\)"),
            ({0: torch.zeros(64, 5, 2)}, ValueError, r"got \(64, 5, 2\) and \(64,\)"),
            ({1: torch.full((64,), 3)}, ValueError, "at least two classes, got only 3"),
            ({1: torch.arange(64) - 1}, ValueError, "at least 0, got -1; leave unlabelled"),
            ({0: torch.full((64, 10), torch.nan)}, ValueError, "train_features must be finite"),
            ({2: torch.full((64, 10), torch.inf)}, ValueError, "test_features must be finite"),
            ({2: torch.zeros(0, 10), 3: torch.zeros(0).long()}, ValueError, "at least one example, got none"),
        ],
    )
    def test_bad_input(self, probe: str, change: dict[int, object], error: type[Exception], message: str) -> None:
        data = [*blobs(64), *blobs(64)]
        for position, value in change.items():
            data[position] = value  # type: ignore[call-overload]
        with pytest.raises(error, match=message):
            PROBES[probe](*data)


class TestNetworks:
    def test_the_papers_probe(self) -> None:
        probe = MLPProbe(64, 10)
        assert [type(layer) for layer in probe] == [nn.Linear, nn.Dropout, nn.BatchNorm1d, nn.ReLU, nn.Linear]
        assert (probe.hidden.out_features, probe.dropout.p) == (200, 0.1)
        assert sum(p.numel() for p in probe.parameters()) == 64 * 200 + 200 + 2 * 200 + 200 * 10 + 10

    def test_standardised_features(self) -> None:
        features = torch.randn(500, 3) * torch.tensor([1e-4, 1.0, 1e4]) + torch.tensor([0.0, 50.0, 0.0])
        scaled = Standardise(features)(features)
        torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)

    def test_constant_features_become_zero(self) -> None:
        features = torch.tensor([[0.0, 0.1], [0.0, 0.1], [0.0, 0.1]])
        assert not Standardise(features)(features).any()
        assert torch.isfinite(Standardise(features)(features + 1)).all()


class TestFit:
    def test_accuracy_runs_in_evaluation_mode_and_restores(self) -> None:
        features, labels = blobs(64)
        probe = MLPProbe(10, 4)
        before = [buffer.clone() for buffer in probe.buffers()]
        assert accuracy(probe, features, labels, batch_size=7) == accuracy(probe, features, labels)
        assert probe.training
        assert all(map(torch.equal, before, probe.buffers()))

    def test_a_last_batch_of_one_is_left_out(self) -> None:
        features, labels = blobs(33)
        fit(MLPProbe(10, 4), features, labels, batch_size=16, epochs=1)

    def test_schedules(self) -> None:
        def at(schedule: str) -> list[float]:
            return [learning_rate(done, lr=2.0, schedule=schedule) for done in (0.0, 0.49, 0.5, 0.74, 0.75, 1.0)]

        assert at("constant") == [2.0] * 6
        assert at("step") == pytest.approx([2.0, 2.0, 0.2, 0.2, 0.02, 0.02])
        assert at("cosine")[0] == 2.0
        assert at("cosine")[2] == pytest.approx(1.0)
        assert at("cosine")[-1] == pytest.approx(0.0)

    @pytest.mark.parametrize(("rows", "epochs"), [(33, 500), (1000, 250), (2049, 125), (30_000, 15)])
    def test_few_examples_get_more_epochs(self, rows: int, epochs: int) -> None:
        steps: list[tuple[str, int, int | None]] = []
        probe = nn.Linear(1, 2)
        with pytest.raises(InterruptedError):  # after the first epoch, which reports the total
            fit(probe, torch.rand(rows, 1), torch.zeros(rows).long(), progress=lambda *step: stop(steps, step))
        assert steps == [("fit", 1, epochs)]

    def test_progress_counts_epochs(self) -> None:
        steps: list[tuple[str, int, int | None]] = []
        fit(MLPProbe(10, 4), *blobs(8), epochs=2, progress=lambda *step: steps.append(step))
        assert steps == [("fit", 1, 2), ("fit", 2, 2)]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"schedule": "linear"}, "schedule must be one of constant, cosine, step, got 'linear'"),
            ({"epochs": 0}, "epochs must be at least 1, got 0"),
            ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ],
    )
    def test_options(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit(MLPProbe(10, 4), *blobs(8), **options)  # type: ignore[arg-type]

    def test_one_example(self) -> None:
        with pytest.raises(ValueError, match="at least 2 examples to train on, got 1"):
            fit(MLPProbe(10, 4), *blobs(1))


@pytest.mark.parametrize("probe", PROBES)
def test_half_features_whose_sum_overflows(probe: str) -> None:
    labels = torch.arange(64) % 2
    rows = (6e4 * (2 * labels[:, None] - 1)).expand(-1, 30).half()
    assert PROBES[probe](rows, labels, rows, labels, random_state=0) == 1.0


@pytest.mark.parametrize("probe", PROBES)
def test_no_features_are_refused(probe: str) -> None:
    labels = torch.arange(6) % 2
    with pytest.raises(ValueError, match=r"train_features must have shape \(N, D\) with D of at least 1, got \(6, 0\)"):
        PROBES[probe](torch.rand(6, 0), labels, torch.rand(6, 0), labels)


@pytest.mark.parametrize("probe", TRAINED)
def test_integers_numpy_integers_and_generators_decide_alike(probe: str) -> None:
    states = (3, np.int64(3), seed(3))
    data = (*blobs(256, 1.5), *blobs(500, 1.5))
    options = {"epochs": np.int64(2), "lr": np.float32(1e-2), "batch_size": np.int32(32)}
    assert len({PROBES[probe](*data, random_state=state, **options) for state in states}) == 1
    with pytest.raises(TypeError, match="random_state must be an integer"):
        PROBES[probe](*data, random_state=0.5)


def test_values_that_float32_cannot_hold() -> None:
    labels, rows = torch.arange(6) % 2, torch.full((6, 2), 1e200, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"train_features must fit into torch\.float32"):
        linear_probe(rows, labels, rows, labels)


def test_standardising_what_has_squares_beyond_float32() -> None:
    rows = torch.tensor([[-1e30], [1e30]])
    torch.testing.assert_close(Standardise(rows)(rows), torch.tensor([[-1.0], [1.0]]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1, 2, 0])[:, None], "labels must have one entry per image"),
        (torch.tensor([0]), "labels must have one entry per image"),
        (torch.tensor([[0, 1, 2, 0]]), "labels must have one entry per image"),
    ],
)
def test_accuracy_broadcasts_no_labels(labels: Tensor, message: str) -> None:
    """A column of labels was broadcast against all predictions, which gave 1.0 instead of 0.75."""
    with pytest.raises(ValueError, match=message):
        accuracy(nn.Identity(), torch.eye(4), labels)


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="features must hold at least one example, got 0"):
        accuracy(nn.Identity(), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


class TestAutocast:
    """Under autocast, a call used the first weights in all steps: it returned accuracies at chance without an error."""

    @pytest.mark.parametrize("probe", PROBES)
    def test_it_has_no_effect(self, probe: str) -> None:
        given = (*blobs(128), *blobs(64))
        expected = PROBES[probe](*given, random_state=0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert PROBES[probe](*given, random_state=0) == expected

    def test_neither_on_a_fit_of_ones_own(self) -> None:
        features, labels = blobs(256)
        torch.manual_seed(0)
        classifier = nn.Linear(10, 4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fit(classifier, features, labels, lr=0.1, epochs=10, random_state=0)
            assert accuracy(classifier, features, labels) > 0.98


@pytest.mark.parametrize("probe", TRAINED)
def test_torchs_default_dtype_does_not_matter(probe: str) -> None:
    given = (*blobs(128), *blobs(64))
    torch.set_default_dtype(torch.float64)
    try:
        assert PROBES[probe](*given, random_state=0) > 0.9
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_linear_probe_has_the_dtype_of_its_features() -> None:
    features = torch.randn(20, 3, dtype=torch.float64)
    assert LinearProbe(features, 2)(features).dtype == torch.float64
    with pytest.raises(ValueError, match="classes must be at least 1, got 0"):
        LinearProbe(features, 0)
    with pytest.raises(ValueError, match="classes must be at least 1, got 0"):
        MLPProbe(4, 0)


@pytest.mark.parametrize(
    "column",
    [1e9 + torch.arange(8).double() % 2, 1e6 + torch.arange(8).float() % 2, 1e-24 * (torch.arange(8.0) % 2 * 2 - 1)],
    ids=["1e9", "1e6", "1e-24"],
)
def test_what_varies_little_or_far_from_zero_is_not_erased(column: Tensor) -> None:
    assert Standardise(column[:, None])(column[:, None]).flatten()[:2].tolist() == pytest.approx([-1.0, 1.0])


def test_what_varies_by_rounding_alone_is_constant() -> None:
    column = torch.full((8, 1), 0.1)
    column[3] = torch.nextafter(column[3], torch.ones(1))
    assert not Standardise(column)(column).any()


def test_logits_that_are_not_finite_are_no_class() -> None:
    logits = torch.eye(3)
    logits[1, 0] = torch.nan
    with pytest.raises(ValueError, match="classifier must give finite logits"):
        accuracy(nn.Identity(), logits, torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("count", [9, 11])
def test_fit_needs_a_label_for_each_row(count: int) -> None:
    features = torch.randn(10, 3)
    with pytest.raises(ValueError, match="labels must have one entry per image"):
        fit(nn.Linear(3, 2), features, torch.zeros(count, dtype=torch.int64))
    with pytest.raises(ValueError, match=f"labels must be as many as features, 10, got {count}"):
        fit(nn.Linear(3, 1), features, torch.zeros(count, 1), loss=nn.functional.mse_loss)


def test_fit_takes_integers_of_any_width() -> None:
    features, labels = blobs(64)
    fit(nn.Linear(10, 4), features, labels.to(torch.int32), epochs=1, batch_size=32)


def test_many_classes_vote_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = blobs(200), blobs(100)
    expected = knn_probe(*train, *test)
    monkeypatch.setattr("infomax.evaluation.probes.neighbours._WORKSPACE", 200)
    assert knn_probe(*train, *test) == expected


def test_standardising_a_wide_layer_copies_none_of_it_whole() -> None:
    features = torch.randn(1000, 2000)
    assert peak_bytes(lambda: Standardise(features)) < features.nbytes / 2
