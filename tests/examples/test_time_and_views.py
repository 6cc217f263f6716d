"""The examples on time, on views and on a queue run and learn, and their data and formulas are as they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from infomax import InfoMaxLoss

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and scikit-learn warn


def sequences(count: int = 90, seed: int = 0) -> tuple[list[Tensor], np.ndarray]:
    """Return noisy waves of nine kinds and of unequal lengths, and their kinds."""
    draw = torch.Generator().manual_seed(seed)
    kinds = np.arange(count) % 9
    found = []
    for kind in kinds:
        steps = torch.arange(float(torch.randint(2, 12, (1,), generator=draw)))[:, None]
        wave = torch.sin(steps * (1 + kind / 5) + torch.arange(12.0))
        found.append(wave + 0.1 * torch.randn(wave.shape, generator=draw))
    return found, kinds


class TestCPC:
    def test_smoke_on_waves(self, example, run_example, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(example("time_cpc"), "load", lambda part: sequences(seed=int(part == "test")))
        monkeypatch.setattr(example("time_cpc"), "LABELS", (2, 10))
        said = run_example("time_cpc", "--smoke")
        for row in ("raw steps", "untrained encoder", "trained encoder", "nearest by warping"):
            assert row in said

    @pytest.mark.slow
    def test_smoke_on_vowels(self, run_example) -> None:
        pytest.importorskip("sktime", reason="sktime is not installed")
        assert "accuracy in % on 370 utterances" in run_example("time_cpc", "--smoke")

    def test_each_row_knows_its_sequence_and_time_goes_on(self, example) -> None:
        script = example("time_cpc")
        encoder, (parts, _) = script.Encoder(12), sequences(5)
        z, c, number = encoder(parts)
        for n, sequence in enumerate(parts):
            alone_z, alone_c, _ = encoder([sequence])
            torch.testing.assert_close(z[number == n], alone_z)
            torch.testing.assert_close(c[number == n], alone_c)

    def test_training_predicts_better(self, example) -> None:
        script = example("time_cpc")
        losses = script.fit(script.Encoder(12), sequences()[0], 8)
        assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3

    def test_warping_is_a_loop_over_paths(self, example) -> None:
        parts = sequences(6)[0]
        found = example("time_cpc").warping(parts[:2], parts[2:])
        for i, one in enumerate(parts[:2]):
            for j, other in enumerate(parts[2:]):
                best = np.full((len(one) + 1, len(other) + 1), np.inf)
                best[0, 0] = 0
                for a in range(len(one)):
                    for b in range(len(other)):
                        best[a + 1, b + 1] = min(best[a, b], best[a, b + 1], best[a + 1, b]) + float(
                            (one[a] - other[b]).norm()
                        )
                assert float(found[i, j]) == pytest.approx(best[-1, -1], rel=1e-4)


SMOKE = {
    "time_frames": ("untrained encoder", "negatives of other films", "negatives of all films"),
    "two_views": ("untrained encoder", "formula written out", "trained encoder"),
    "momentum_queue": ("untrained", "batch alone", "queue, same encoder", "queue, momentum encoder"),
}


@pytest.mark.parametrize("name", SMOKE)
def test_smoke_on_digits(name: str, run_example, tmp_path: Path) -> None:
    options = ["--data", tmp_path] if name == "time_frames" else []  # has no Fashion-MNIST
    said = run_example(name, "--smoke", *options)
    for row in ("raw pixels", *SMOKE[name]):
        assert row in said


class TestFrames:
    def test_films_show_what_their_labels_say(self, example) -> None:
        script = example("time_frames")
        images = torch.zeros(2, 1, 28, 28)
        images[0] = 1.0  # a white garment and a black one
        films = script.Films(images, torch.tensor([7, 3]), 40, background=0.5)
        assert torch.equal(films.film.unique(), torch.arange(40))
        assert set(films.film.bincount().tolist()) <= set(range(6, 17))
        for frame, label, (row, column) in zip(films.frames, films.label, films.position.int().tolist(), strict=True):
            inside = frame[0, row : row + script.GARMENT, column : column + script.GARMENT]
            if label == 7:
                assert bool((inside == 1).all())
            assert float(frame.sum() - inside.sum()) in (0.0, 0.5 * (script.SIDE**2 - script.GARMENT**2))
        same = films.film[1:] == films.film[:-1]
        moved = (films.position[1:] - films.position[:-1])[same].abs()
        assert 0 < float(moved.mean()) < 6


class TestViews:
    def test_the_formula_is_our_loss(self, example) -> None:
        script = example("two_views")
        x, y = torch.randn(2, 9, 5, dtype=torch.float64)
        critic = script.partial(script.CosineCritic, units=None, temperature=script.TEMPERATURE)
        torch.testing.assert_close(InfoMaxLoss(5, 5, critic=critic, same_side=True)(x, y), script.written_out(x, y))
