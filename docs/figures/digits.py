"""The later figures of "Deep InfoMax in ten minutes": an encoder that learns from scikit-learn's digits without labels.

``python docs/figures/digits.py`` writes ``digits-scores.png``, ``digits-learning.png`` and ``digits-prior.png``, and
prints the figures that the page quotes. It trains two small encoders, one without and one with the prior term, about
20 seconds each on one core.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from theme import LIGHT, Palette, bare, save
from torch import Tensor, nn

from infomax import DIMLoss, PriorMatchingLoss
from infomax.encoders import Conv, ConvEncoder

STEPS, BATCH, WOBBLE = 300, 64, 0.12
SHOWN = 6  # images of the table of scores
LABELS, DRAWS = 50, 5

data = load_digits()
order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(0))
IMAGES = torch.from_numpy(data.images).float()[order, None] / 16
DIGITS = torch.from_numpy(data.target)[order]
TRAIN, TEST = slice(0, 1300), slice(1300, None)


class Run(NamedTuple):
    """What a training leaves."""

    steps: list[int]
    nats: list[float]
    accuracy: list[float]  # %
    scores: list[Tensor]  # before and after, (SHOWN, SHOWN * locations)
    y: Tensor  # of the test images, through the prior's sigmoid


def views(images: Tensor) -> Tensor:
    """The images, each moved, turned, stretched and slanted a little at random."""
    still = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = nn.functional.affine_grid(still + WOBBLE * torch.randn(len(images), 2, 3), images.shape, align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def probe(features: Tensor) -> float:
    """Test accuracy in % of logistic regression on 50 labelled images, the mean of five draws of them."""
    features = (features - features[TRAIN].mean(0)) / (features[TRAIN].std(0) + 1e-6)
    accuracies = []
    for draw in range(DRAWS):
        shuffled = torch.randperm(1300, generator=torch.Generator().manual_seed(draw))
        rows = torch.cat([shuffled[DIGITS[shuffled] == digit][: LABELS // 10] for digit in range(10)])
        model = LogisticRegression(max_iter=500).fit(features[rows].numpy(), DIGITS[rows].numpy())
        accuracies.append(100 * model.score(features[TEST].numpy(), DIGITS[TEST].numpy()))
    return sum(accuracies) / DRAWS


def train(gamma: float) -> Run:
    """Train an encoder by the local objective, and by the prior term with the weight ``gamma``."""
    torch.manual_seed(0)
    encoder = ConvEncoder(
        local=[Conv(16, 3, 1, 1), Conv(32, 4, 2, 1)],
        conv=[Conv(64, 3, 1, 1)],
        fc=[128],
        input_size=8,
        input_channels=1,
        global_dim=32,
    )
    prior = PriorMatchingLoss(encoder.global_dim, "uniform", gradient_penalty=1.0)
    objective = DIMLoss(local_dim=32, global_dim=32, alpha=0.0, beta=1.0, gamma=gamma, units=64, prior=prior)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *objective.parameters()], lr=2e-3)
    run = Run([], [], [], [], torch.empty(0))
    for step in range(STEPS + 1):
        if step % 50 == 0:
            encoder.eval()
            with torch.no_grad():
                local, y = encoder(IMAGES)
                held_out = objective.mutual_information(local[TEST][:BATCH], y[TEST][:BATCH]).local
                scores = objective.eval().scores(local[TEST][:SHOWN], y[TEST][:SHOWN]).local
            objective.train()
            encoder.train()
            run.steps.append(step)
            run.nats.append(float(held_out))
            run.accuracy.append(probe(y))
            if step in (0, STEPS):
                run.scores.append(scores.scale * scores.query @ scores.key.T)
        batch = IMAGES[TRAIN][torch.randperm(1300)[:BATCH]]
        local, y = encoder.local(views(batch)), encoder(views(batch)).global_
        optimizer.zero_grad()
        objective(local, y).loss.backward()
        optimizer.step()
    print(
        f"gamma {gamma}: {run.nats[-1]:.2f} nats on test images, "
        f"accuracy {run.accuracy[0]:.1f} -> {run.accuracy[-1]:.1f} %"
    )
    u = encoder.eval()(IMAGES[TEST]).global_.detach().sigmoid()
    ranked = u.sort(0).values
    distance = (ranked - torch.arange(len(u))[:, None] / len(u)).abs().amax(0).mean()
    print(f"  mean Kolmogorov-Smirnov distance of a unit from uniform: {distance:.2f}")
    return run._replace(y=u)


PLAIN, MATCHED = train(0.0), train(1.0)
PIXELS = probe(IMAGES.flatten(1))


def scores(figure: Figure, palette: Palette) -> None:
    """The table of six images before and after training: a row per vector, a column per location."""
    grid = figure.add_gridspec(3, SHOWN, height_ratios=(1, 1.6, 1.6))
    for index in range(SHOWN):
        ax = figure.add_subplot(grid[0, index])
        ax.imshow(IMAGES[1300 + index, 0], cmap="gray_r" if palette is LIGHT else "gray")
        bare(ax)
    for row, (table, title) in enumerate(zip(PLAIN.scores, ("untrained", f"after {STEPS} steps"), strict=True), 1):
        ax = figure.add_subplot(grid[row, :])
        ax.imshow(table, aspect="auto", cmap=palette.low_to_high, interpolation="none")
        locations = table.shape[1] // SHOWN
        for index in range(SHOWN):
            place = (index * locations - 0.5, index - 0.5)
            ax.add_patch(Rectangle(place, locations, 1, fill=False, ec=palette.joint, lw=2))
        bare(ax)
        ax.set(title=title, ylabel="6 vectors")
    ax.set_xlabel("16 locations of each of the 6 images")


def learning(figure: Figure, palette: Palette) -> None:
    """Information and accuracy by training step."""
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(PLAIN.steps, PLAIN.nats, "o-", ms=4, color=palette.examples[0])
    above.axhline(0, color=palette.quiet, lw=0.6)
    above.set(ylabel="estimate, nats", title="information between a location and the vector")
    below.plot(PLAIN.steps, PLAIN.accuracy, "o-", ms=4, color=palette.examples[0])
    for value, text in ((PIXELS, "raw pixels"), (PLAIN.accuracy[0], "untrained")):
        below.axhline(value, color=palette.quiet, lw=1, ls="--")
        below.text(STEPS, value - 0.4, f"{text}, {value:.0f} %", ha="right", va="top", color=palette.quiet)
    below.set_ylim(min(PLAIN.accuracy) - 5, None)
    below.set(ylabel="test accuracy, %", xlabel="training step", title=f"linear classifier on y, {LABELS} labels")


def prior(figure: Figure, palette: Palette) -> None:
    """The distribution of the units without and with the prior term."""
    panels = figure.subplots(1, 2, sharey=True)
    for ax, run, title, colour in zip(
        panels, (PLAIN, MATCHED), ("without the prior term", "with it"), palette.examples, strict=False
    ):
        ax.hist(run.y.flatten().numpy(), bins=20, range=(0, 1), density=True, color=colour)
        ax.axhline(1, color=palette.ink, lw=1, ls="--")
        ax.set(title=title, xlabel="sigmoid(y)", xlim=(0, 1))
    panels[0].set_ylabel("density of all units")
    panels[0].text(0.02, 1.05, "uniform", va="bottom")


if __name__ == "__main__":
    print(f"raw pixels: {PIXELS:.1f} %")
    save("digits-scores", scores, 4.2)
    save("digits-learning", learning, 4.6)
    save("digits-prior", prior, 2.6)
