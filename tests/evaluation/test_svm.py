"""The linear SVM is scikit-learn's on standardised features, and C is chosen without the test set."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from infomax.evaluation import evaluate, svm_probe

Sets = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def digits() -> Sets:
    data = load_digits()
    features, labels = torch.from_numpy(data.data).float(), torch.from_numpy(data.target)
    return features[:400], labels[:400], features[400:1000], labels[400:1000]


@pytest.mark.parametrize("C", [0.1, 10.0])
def test_it_is_scikit_learn_on_standardised_features(digits: Sets, C: float) -> None:
    train, train_labels, test, test_labels = digits
    by_hand = make_pipeline(StandardScaler(), LinearSVC(C=C / 64, dual=False))
    by_hand.fit(train.double().numpy(), train_labels.numpy())
    expected = by_hand.score(test.double().numpy(), test_labels.numpy())
    assert svm_probe(*digits, C=C) == expected
    assert expected > 0.7


def test_fewer_examples_than_units(digits: Sets) -> None:
    """With fewer examples than units, even a large C is solved in the dual, and the accuracy is that of the primal."""
    train, train_labels, test, test_labels = digits
    by_hand = make_pipeline(StandardScaler(), LinearSVC(C=10 / 64, dual=False))
    by_hand.fit(train[:50].double().numpy(), train_labels[:50].numpy())
    expected = by_hand.score(test.double().numpy(), test_labels.numpy())
    assert svm_probe(train[:50], train_labels[:50], test, test_labels, C=10.0) == pytest.approx(expected, abs=2 / 600)


def test_that_comparison_sees_another_c_and_a_missing_standardisation(digits: Sets) -> None:
    train, train_labels, test, test_labels = digits
    raw = LinearSVC(C=0.01 / 64, dual=False).fit(train.double().numpy(), train_labels.numpy())
    ours = svm_probe(*digits, C=0.01)
    assert ours != raw.score(test.double().numpy(), test_labels.numpy())
    assert ours != svm_probe(*digits, C=1.0)


def test_scale_and_offset_of_a_unit_do_not_matter(digits: Sets) -> None:
    train, train_labels, test, test_labels = digits
    moved = [1000 * part - 5 for part in (train, test)]
    assert svm_probe(moved[0], train_labels, moved[1], test_labels, C=1.0) == svm_probe(*digits, C=1.0)


def random_labels(probe: Callable[..., float]) -> float:
    """Return the test accuracy on random labels, which can be memorised but not predicted."""
    features, labels = torch.randn(240, 300), torch.arange(240) % 2
    return probe(features[:120], labels[:120], features[120:], labels[120:])


def leaky(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    everything = torch.cat([train, test]), torch.cat([train_labels, test_labels])
    return svm_probe(*everything, test, test_labels, C=100.0)


def test_labels_of_the_test_set_are_not_seen() -> None:
    assert 0.3 < random_labels(partial(svm_probe, C=100.0)) < 0.7
    assert random_labels(leaky) > 0.95  # so the check above would detect a leak


def test_c_is_chosen_on_training_examples_alone(digits: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    train, train_labels, test, test_labels = digits
    fits: list[tuple[float, int, int]] = []

    class Recorded(LinearSVC):
        def fit(self, rows: Any, labels: Any) -> Recorded:
            self.fitted_rows_ = len(rows)
            return super().fit(rows, labels)

        def score(self, rows: Any, labels: Any) -> float:
            fits.append((self.C, self.fitted_rows_, len(rows)))
            return super().score(rows, labels)

    monkeypatch.setattr("sklearn.svm.LinearSVC", Recorded)
    steps: list[tuple[str, int, int | None]] = []
    svm_probe(*digits, C=(1e-6, 1.0), choose_on=200, progress=lambda *step: steps.append(step))
    assert fits == [(1e-6 / 64, 160, 40), (1.0 / 64, 160, 40), (1.0 / 64, 400, 600)]
    assert steps == [("svm", number, 3) for number in (1, 2, 3)]
    fits.clear()
    svm_probe(train, train_labels, test, (test_labels + 1) % 10, C=(1e-6, 1.0), choose_on=200)
    assert fits[-1][0] == 1.0 / 64  # the test labels do not change the choice


def test_evaluate_knows_it_by_name(digits: Sets) -> None:
    train, train_labels, test, test_labels = digits
    table = evaluate(
        nn.Flatten(), (train, train_labels), (test, test_labels), layers={"pixels": ""}, probes="svm", random_state=4
    )
    assert table.mean("svm", "pixels") == svm_probe(*digits, random_state=4)


class TestBadInput:
    @pytest.mark.parametrize("C", [0.0, -1.0, [], [1.0, float("inf")]])
    def test_c(self, digits: Sets, C: object) -> None:
        with pytest.raises(ValueError, match="C must be"):
            svm_probe(*digits, C=C)  # type: ignore[arg-type]

    def test_too_few_to_choose_on(self, digits: Sets) -> None:
        features = torch.rand(6, 3)
        with pytest.raises(ValueError, match="pass a single C"):
            svm_probe(
                features, torch.tensor([0, 0, 0, 0, 0, 1]), features, torch.zeros(6, dtype=torch.long), choose_on=2
            )

    def test_without_scikit_learn(self, digits: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sklearn.svm", None)
        with pytest.raises(ImportError, match=r"svm_probe needs scikit-learn, .* pip install 'infomax\[evaluation\]'"):
            svm_probe(*digits)


def test_half_features_numpy_options_and_no_features(digits: Sets) -> None:
    train, train_labels, test, test_labels = digits
    half = svm_probe(train.half(), train_labels, test.half(), test_labels, C=np.float32(1.0))
    assert half == svm_probe(*digits, C=1.0)
    assert svm_probe(*digits, C=np.array([1.0])) == half
    with pytest.raises(ValueError, match="with D of at least 1"):
        svm_probe(train[:, :0], train_labels, test[:, :0], test_labels)
