"""
ST-DIM on Atari
===============

An encoder learns from the frames of a game without labels: each frame has to find the next one.

::

    pip install ale-py
    python examples/time_frames.py

An agent plays Pong in the Arcade Learning Environment. The package ale-py holds the emulator and the game. A film is
one rally, so films have unequal lengths: 19 to several hundred frames. Every fourth frame of the console is taken. Half
of the actions follow the ball and half are random. An agent with random actions alone misses almost every ball, and
then many frames of different games are equal.

Frames are rows, and an index says which film each frame belongs to. In ST-DIM, the vector of a frame has to find the
locations of the next frame among those of other frames, and each location of a frame has to find the same location of
the next frame. In the comparison *whole frames*, the vector of a frame has to find the vector of the next frame. The
negatives are frames of all films, or of other films only with ``--other-films``.

The memory of the console holds the positions of the ball and of the paddles. Ridge regression on the frozen vectors
predicts them from 50, 200 or 1000 labelled frames. It is tested on films of other games, without the frames that occur
in training.

Mean R2 of the four positions with 50, 200 and 1000 labels, mean of seeds 0, 1 and 2: raw pixels 63.5, 73.9 and 89.0 %,
principal components 64.3, 72.2 and 77.0 %, untrained encoder 59.9, 71.9 and 78.3 %, whole frames 78.2, 91.4 and 94.0 %,
ST-DIM 79.9, 89.3 and 92.0 %. Training helps with x of the ball. With 200 or more labels, raw pixels and principal
components predict y of ball and paddles best (with 200 labels 97.7 and 97.8 %, whole frames 95.3 %, ST-DIM 94.3 %).

A figure is written to runs/time_frames/.

Source: Anand et al. 2019, "Unsupervised State Representation Learning in Atari".
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from ale_py import Action, ALEInterface, LoggerMode, roms
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from infomax import InfoMaxLoss, LocalDIMLoss
from infomax.pairs import ahead

STATE = {"ball x": 49, "ball y": 54, "paddle y": 51, "opponent y": 50}  # bytes of the console's memory
FIELD = slice(34, 194)  # rows of the screen between the borders
UNITS, LABELS, PENALTIES = 128, (50, 200, 1000), np.logspace(-3, 5, 9)


def main() -> None:
    """Play, train an encoder per loss, compare with the baselines, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=6000, help="frames to train on (default: 6000)")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the films (default: 6)")
    parser.add_argument("--other-films", action="store_true", help="no negatives from the film of a frame")
    parser.add_argument("--seed", type=int, default=0, help="of games, weights and order (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("runs/time_frames"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="one epoch on 300 frames, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.frames, options.epochs = 300, 1

    films = play(options.frames, 2 * options.seed)
    test = new_frames(play(options.frames // 3, 2 * options.seed + 1), films)
    mean, std = films.frames.mean(0), films.frames.std()
    x, x_test = (films.frames - mean) / std, (test.frames - mean) / std
    pixels = x.flatten(1).numpy(), x_test.flatten(1).numpy()
    components = PCA(UNITS, svd_solver="randomized", random_state=0).fit(pixels[0])
    features = {"raw pixels": pixels, "principal components": tuple(components.transform(part) for part in pixels)}
    for name in ("untrained encoder", "whole frames", "ST-DIM"):
        torch.manual_seed(options.seed)
        encoder = Encoder()
        if name != "untrained encoder":
            loss_fn = STDIM() if name == "ST-DIM" else WholeFrames()
            fit(encoder, loss_fn, x, films.film, options.epochs, options.other_films)
        features[name] = embed(encoder, x), embed(encoder, x_test)
    found = {name: read(*parts, films.state, test.state) for name, parts in features.items()}

    print(f"{len(x)} frames of {films.film.max() + 1} films; {len(x_test)} new frames of {test.film.max() + 1} others")
    print("R2 in %: x of the ball, mean over y of ball and paddles, mean of all four\n")
    print(f"{'':<22}" + "".join(f"{f'{labels} labels':>24}" for labels in LABELS))
    for name, values in found.items():
        print(f"{name:<22}" + "".join(f"{x:>10.1f}{np.mean(y):>7.1f}{np.mean([x, *y]):>7.1f}" for x, *y in values))
    options.out.mkdir(parents=True, exist_ok=True)
    draw(films.frames[films.film == 1], found).savefig(options.out / "frames.png")
    print(f"\nFigure: {options.out / 'frames.png'}")


# %%
# The films
# ---------


class Films(NamedTuple):
    """The frames of all films, (K, 1, 80, 80), and the film (K,) and the state (K, 4) of each frame."""

    frames: Tensor
    film: Tensor
    state: np.ndarray


def play(count: int, seed: int) -> Films:
    """Play until `count` frames show a ball. A film is a rally: the frames from a serve to a point."""
    ALEInterface.setLoggerMode(LoggerMode.Error)
    game = ALEInterface()
    game.setInt("random_seed", seed)
    game.setInt("frame_skip", 4)
    game.loadROM(roms.get_rom_path("pong"))
    agent = np.random.default_rng(seed)
    screens, states, film, playing = [], [], [], False
    while len(screens) < count:
        if game.game_over():
            game.reset_game()
        ball, paddle = (int(game.getRAM()[STATE[name]]) for name in ("ball y", "paddle y"))
        follow = Action.RIGHT if ball < paddle + 8 else Action.LEFT  # up or down
        game.act(agent.choice([follow, follow, follow, Action.NOOP, Action.RIGHT, Action.LEFT]))
        state = game.getRAM()[list(STATE.values())]
        served, playing = not playing, state[1] > 0  # no ball is on the screen between a point and a serve
        if playing:
            film.append((film[-1] if film else -1) + served)
            screens.append(game.getScreenGrayscale()[FIELD].reshape(80, 2, 80, 2).mean((1, 3), dtype=np.float32) / 255)
            states.append(state)
    frames = torch.from_numpy(np.stack(screens))[:, None]
    return Films(frames, torch.tensor(film), np.stack(states).astype(float))


def new_frames(test: Films, train: Films) -> Films:
    """Return the frames of `test` that do not occur in `train`."""
    known = {frame.numpy().tobytes() for frame in train.frames}
    new = torch.tensor([frame.numpy().tobytes() not in known for frame in test.frames])
    return Films(test.frames[new], test.film[new], test.state[new.numpy()])


# %%
# The encoder
# -----------


class Encoder(nn.Module):
    """An encoder from frames to a map of 5 x 5 locations and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(
            nn.Conv2d(1, 32, 8, 4, 2), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1)
        )
        self.vector = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(64 * 5 * 5, UNITS))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.map(frames)
        return maps, self.vector(maps)


# %%
# The losses
# ----------
#
# `ahead` pairs frames of the same film; `group` keeps the other frames of that film from being negatives.


class STDIM(nn.Module):
    """This frame's vector finds the next frame's locations, and each location finds the next at its place."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = LocalDIMLoss(64, UNITS, critic="bilinear")
        self.place = InfoMaxLoss(64, 64, critic="bilinear", symmetric=False)

    def forward(self, maps: Tensor, vectors: Tensor, film: Tensor, other_films: bool) -> Tensor:
        pairs = ahead(maps, vectors, steps=1, batch=film)  # the next frame's map, this frame's vector
        group = pairs.group if other_films else None
        loss = self.frame(pairs.local, pairs.global_, group=group)
        pairs = ahead(maps, maps, steps=1, batch=film)  # maps of both frames, by location
        places = zip(pairs.local.flatten(2).unbind(2), pairs.global_.flatten(2).unbind(2), strict=True)
        return loss + torch.stack([self.place(x, y, group=group) for x, y in places]).mean()


class WholeFrames(nn.Module):
    """This frame's vector finds the next frame's vector."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = InfoMaxLoss(UNITS, UNITS, critic="bilinear", symmetric=False)

    def forward(self, _: Tensor, vectors: Tensor, film: Tensor, other_films: bool) -> Tensor:
        pairs = ahead(vectors, vectors, steps=1, batch=film)
        return self.vector(pairs.local, pairs.global_, group=pairs.group if other_films else None)


def fit(encoder: Encoder, loss_fn: nn.Module, x: Tensor, film: Tensor, epochs: int, other_films: bool) -> None:
    """Train the encoder on batches of four or five films, without states."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    films = int(film.max()) + 1
    for _ in range(epochs):
        for drawn in torch.randperm(films).tensor_split(films // 4):
            rows = torch.isin(film, drawn)
            loss = loss_fn(*encoder(x[rows]), film[rows], other_films)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# %%
# What was learnt
# ---------------


@torch.no_grad()
def embed(encoder: Encoder, x: Tensor) -> np.ndarray:
    return torch.cat([encoder(part)[1] for part in x.split(500)]).numpy()


def read(train: np.ndarray, test: np.ndarray, state: np.ndarray, test_state: np.ndarray) -> np.ndarray:
    """Return the R2 in % of ridge regression, by number of labels and state: the mean of three draws of labels."""
    draw, found = np.random.default_rng(0), []
    for labels in LABELS:
        scores = []
        for _ in range(3):
            rows = draw.permutation(len(train))[:labels]
            mean, std = train[rows].mean(0), train[rows].std()  # one scale: some pixels hardly ever change
            ridge = RidgeCV(PENALTIES, alpha_per_target=True).fit((train[rows] - mean) / std, state[rows])
            error = ridge.predict((test - mean) / std) - test_state
            scores.append(100 - 100 * (error**2).mean(0) / test_state.var(0))
        found.append(np.mean(scores, 0))
    return np.array(found)


def draw(film: Tensor, found: dict[str, np.ndarray]) -> Figure:
    """Draw six frames of a film, and how well the positions are predicted, by number of labels."""
    figure = plt.figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 2])
    for axes, frame in zip(above.subplots(1, 6), film[::3], strict=False):
        axes.imshow(frame[0].numpy(), cmap="gray")
        axes.axis("off")
    panels = below.subplots(1, 2, sharey=True)
    for name, values in found.items():
        for axes, scores in zip(panels, (values[:, 0], values[:, 1:].mean(1)), strict=True):
            style = "-" if name in ("whole frames", "ST-DIM") else "--"
            axes.plot(LABELS, scores, style, marker="o", label=name)
    for axes, title in zip(panels, ("x of the ball", "y of ball and paddles, mean"), strict=True):
        axes.set(title=title, xscale="log", xlabel="labelled frames", xticks=LABELS, xticklabels=LABELS)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="R2 in %", ylim=(-40, 105))
    panels[1].legend(loc="lower right")
    return figure


# %%
# Run it
# ------


if __name__ == "__main__":
    main()
