"""`TunedProbe` chooses on training examples that it leaves out, and sees the test set once."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infomax.evaluation import Trial, TunedProbe, evaluate, mlp_probe

ROWS = torch.arange(60.0)[:, None]  # each row is its own number
LABELS = torch.arange(60) % 3
TEST = -1 - torch.arange(6.0)[:, None], torch.arange(6) % 3


class Recorded:
    """A probe that records what it is given, and returns an accuracy that depends on its setting."""

    def __init__(self, accuracies: dict[str, float]) -> None:
        self.accuracies = accuracies
        self.calls: list[tuple[str, tuple[Tensor, ...], Any]] = []

    def __call__(self, *parts: Tensor, random_state: Any, progress: Any, name: str) -> float:
        self.calls.append((name, parts, random_state))
        return self.accuracies[name]


def test_the_best_on_examples_left_out_is_trained_on_all() -> None:
    probe = Recorded({"a": 0.25, "b": 0.75, "c": 0.75})
    tuned = TunedProbe(probe, [{"name": name} for name in "abc"], validation=9)
    assert tuned(ROWS, LABELS, *TEST, random_state=0) == 0.75
    assert [name for name, _, _ in probe.calls] == ["a", "b", "c", "b"], "of equal settings, the first"
    assert tuned.trials == [[Trial({"name": "a"}, 0.25), Trial({"name": "b"}, 0.75), Trial({"name": "c"}, 0.75)]]
    assert tuned.chosen == {"name": "b"}
    for _, (kept, kept_labels, left_out, labels), seed in probe.calls[:3]:
        assert len(left_out) == 9
        assert torch.equal(torch.cat([kept, left_out]).sort(0).values, ROWS), "each training example is in one part"
        assert torch.equal(kept[:, 0].long() % 3, kept_labels)
        assert torch.equal(left_out[:, 0].long() % 3, labels)
        assert torch.equal(left_out, probe.calls[0][1][2]), "the same examples judge every setting"
        assert seed == probe.calls[0][2]
    for given_, expected in zip(probe.calls[3][1], (ROWS, LABELS, *TEST), strict=True):
        assert given_ is expected


@given(st.lists(st.integers(2, 15), min_size=2, max_size=4), st.data())
def test_each_class_has_its_share(sizes: list[int], data: st.DataObject) -> None:
    labels = data.draw(st.permutations([label for label, size in enumerate(sizes) for _ in range(size)]))
    count = data.draw(st.integers(1, 70))
    probe = Recorded({"a": 0.5})
    rows, numbers = torch.arange(len(labels), dtype=torch.float32)[:, None], torch.tensor(labels)
    seed = data.draw(st.integers(0, 9))
    TunedProbe(probe, [{"name": "a"}], validation=count)(rows, numbers, rows, numbers, random_state=seed)
    left_out = probe.calls[0][1][3]
    count = min(count, len(labels) // 2)
    assert len(left_out) == count
    for label in set(labels):
        share = count * labels.count(label) / len(labels)
        assert abs(int((left_out == label).sum()) - share) < 1 + 1e-9


def test_a_seed_repeats_it_and_another_leaves_out_others() -> None:
    def left_out(seed: int) -> Tensor:
        probe = Recorded({"a": 0.5})
        TunedProbe(probe, [{"name": "a"}], validation=10)(ROWS, LABELS, *TEST, random_state=seed)
        return probe.calls[0][1][2]

    before = torch.get_rng_state()
    assert torch.equal(left_out(1), left_out(1))
    assert not torch.equal(left_out(1), left_out(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_finds_the_learning_rate_that_works() -> None:
    labels = torch.arange(200) % 2
    images = torch.randn(200, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 2 * labels.view(-1, 1, 1, 1)
    tuned = TunedProbe(partial(mlp_probe, epochs=10, batch_size=20), [{"lr": 1e-8}, {"lr": 1e-2}], validation=40)
    pixels = torch.nn.Flatten()
    table = evaluate(pixels, (images, labels), (images, labels), layers={"pixels": ""}, probes={"tuned": tuned})
    assert tuned.chosen == {"lr": 1e-2}
    assert table.rows[0].accuracy > 0.95
    alone = partial(mlp_probe, epochs=10, batch_size=20, lr=1e-8)
    worse = evaluate(pixels, (images, labels), (images, labels), layers={"pixels": ""}, probes={"alone": alone})
    assert worse.rows[0].accuracy < 0.9


def test_refusals() -> None:
    with pytest.raises(TypeError, match="probe must be a function such as mlp_probe, got str"):
        TunedProbe("mlp", [{}])
    with pytest.raises(TypeError, match="settings must be a sequence of dicts of options, got dict"):
        TunedProbe(mlp_probe, {"lr": 1e-2})
    with pytest.raises(TypeError, match="settings must hold dicts of options, got float in it"):
        TunedProbe(mlp_probe, [1e-2])
    for setting in ({"random_state": 0}, {3: 1e-2}):
        with pytest.raises(ValueError, match="settings must hold options of the probe by name, except random_state"):
            TunedProbe(mlp_probe, [setting])
    with pytest.raises(ValueError, match="settings must hold at least one dict of options, got none"):
        TunedProbe(mlp_probe, [])
    with pytest.raises(ValueError, match="validation must be at least 1, got 0"):
        TunedProbe(mlp_probe, [{}], validation=0)
    tuned = TunedProbe(mlp_probe, [{}], validation=2)
    with pytest.raises(RuntimeError, match="chosen is known after a call of the probe"):
        _ = tuned.chosen
    with pytest.raises(ValueError, match="train_labels must hold at least two classes"):
        tuned(ROWS, torch.zeros(60, dtype=torch.int64), *TEST)
    with pytest.raises(ValueError, match="must hold two classes among the 2 examples that are not left out"):
        tuned(ROWS[:4], torch.tensor([0, 0, 0, 1]), ROWS[:1], LABELS[:1], random_state=1)
