"""The examples on time, on views and on a queue run and learn, and their data and formulas are as they claim."""

from __future__ import annotations

from types import ModuleType

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
    "two_views": ("untrained encoder", "formula written out", "trained encoder"),
    "momentum_queue": ("untrained", "batch alone", "queue, same encoder", "queue, momentum encoder"),
}


@pytest.mark.parametrize("name", SMOKE)
def test_smoke_on_digits(name: str, run_example) -> None:
    said = run_example(name, "--smoke")
    for row in ("raw pixels", *SMOKE[name]):
        assert row in said


class TestFrames:
    @pytest.fixture
    def script(self, example) -> ModuleType:
        pytest.importorskip("ale_py", reason="ale-py is not installed")
        return example("time_frames")

    @pytest.mark.parametrize("options", [(), ("--other-films",)])
    def test_smoke_on_pong(self, options: tuple[str, ...], script: ModuleType, run_example) -> None:
        said = run_example("time_frames", "--smoke", *options)
        for row in ("raw pixels", "principal components", "untrained encoder", "whole frames", "ST-DIM"):
            assert row in said

    def test_the_memory_holds_what_the_frame_shows(self, script: ModuleType) -> None:
        films = script.play(100, seed=0)
        ball = films.frames[:, 0, :, 10:70] > 0.6  # brighter than paddles and field, between the paddles
        shown = ball.flatten(1).any(1)
        assert int(shown.sum()) > 50
        rows, columns = (ball[shown].any(axis).float().argmax(1).numpy() for axis in (2, 1))
        for seen, name in ((columns, "ball x"), (rows, "ball y")):
            held = films.state[shown.numpy(), list(script.STATE).index(name)]
            assert np.ptp(held - 2 * seen) <= 2  # a pixel of a frame is two of the screen

    def test_a_film_is_a_rally(self, script: ModuleType) -> None:
        films = script.play(200, seed=0)
        assert films.film.unique().tolist() == list(range(int(films.film.max()) + 1))
        jump = np.abs(np.diff(films.state[:, 0])) > 20  # the ball leaves at a side and is served in the middle
        assert (jump == (films.film.diff() > 0).numpy()).all()

    def test_games_differ_and_what_occurs_in_training_is_left_out(self, script: ModuleType) -> None:
        train, test = script.play(100, seed=0), script.play(100, seed=1)
        assert not torch.equal(train.frames[:100], test.frames[:100])
        assert len(script.new_frames(train, train).frames) == 0
        new = script.new_frames(test, train)
        assert 0 < len(new.frames) == len(new.film) == len(new.state) <= len(test.frames)


class TestViews:
    def test_the_formula_is_our_loss(self, example) -> None:
        script = example("two_views")
        x, y = torch.randn(2, 9, 5, dtype=torch.float64)
        critic = script.partial(script.CosineCritic, units=None, temperature=script.TEMPERATURE)
        torch.testing.assert_close(InfoMaxLoss(5, 5, critic=critic, same_side=True)(x, y), script.written_out(x, y))
