"""The first figures of "Deep InfoMax in ten minutes", on two correlated normal variables of known information.

``python docs/figures/normals.py`` writes ``normals-pairs.png``, ``normals-table.png``, ``normals-ceiling.png`` and
``normals-critic.png``, and prints the figures that the page quotes. It takes about 20 seconds of one core.
"""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from theme import LIGHT, Palette, bare, save
from torch import Tensor, nn

from infomax import InfoMaxLoss
from infomax import functional as F

CORRELATION = 0.9
TRUTH = -0.5 * math.log(1 - CORRELATION**2)  # 0.83 nats
SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
TABLES = 100  # of each size
COORDINATES = (1, 3, 6)  # independent ones, each worth 0.83 nats
STEPS, BATCH = 200, 128


def draw_pairs(rows: int, generator: torch.Generator, coordinates: int = 1) -> tuple[Tensor, Tensor]:
    """Rows of two variables; each coordinate of one is correlated with the same coordinate of the other."""
    x, noise = torch.randn(2, rows, coordinates, generator=generator)
    return x, CORRELATION * x + math.sqrt(1 - CORRELATION**2) * noise


def log_ratios(x: Tensor, y: Tensor) -> Tensor:
    """The exact log density ratio of every x with every y: the best critic there is."""
    given = torch.distributions.Normal(CORRELATION * x[:, None], math.sqrt(1 - CORRELATION**2))
    return (given.log_prob(y[None]) - torch.distributions.Normal(0.0, 1.0).log_prob(y[None])).sum(-1)


def pairs(figure: Figure, palette: Palette) -> None:
    """The same 300 rows as they come, and with the second column shuffled."""
    generator = torch.Generator().manual_seed(0)
    x, y = draw_pairs(300, generator)
    shuffled = y[torch.randperm(300, generator=generator)]
    for ax, column, title, colour in zip(
        figure.subplots(1, 2, sharey=True),
        (y, shuffled),
        ("joint pairs", "shuffled: marginal pairs"),
        (palette.joint, palette.quiet),
        strict=True,
    ):
        ax.scatter(x, column, s=9, color=colour, alpha=0.7, lw=0)
        ax.set(title=title, xlabel="x", xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), aspect="equal")
    figure.axes[0].set_ylabel("y")


def table(figure: Figure, palette: Palette) -> None:
    """The scores of eight rows of three coordinates, each x with each y."""
    ax = figure.subplots()
    scores = log_ratios(*draw_pairs(8, torch.Generator().manual_seed(1), 3))
    shown = ax.imshow(scores, cmap=palette.low_to_high, vmin=-20, vmax=5)
    for i in range(8):
        for j in range(8):
            strong = bool(scores[i, j] > -9)  # dark cells of the light page, light cells of the dark one
            colour = "white" if strong == (palette is LIGHT) else "black"
            ax.text(j, i, f"{round(float(scores[i, j]))}", ha="center", va="center", fontsize=10, color=colour)
        ax.add_patch(Rectangle((i - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec=palette.joint, lw=2.5))
    bare(ax)
    ax.set(xlabel="y of row 1 to 8", ylabel="x of row 1 to 8")
    figure.colorbar(shown, label="score $T(x, y)$", shrink=0.9)
    if palette is LIGHT:
        loss = float(F.infonce_loss(F.dense_scores(scores)))
        print(f"table of 8: loss {loss:.2f}, estimate {math.log(8) - loss:.2f} of {3 * TRUTH:.2f} nats")


def estimates(coordinates: int) -> list[float]:
    """Mean estimates of InfoNCE by batch size, with the exact critic, over 100 batches."""
    generator = torch.Generator().manual_seed(2)
    means = []
    for size in SIZES:
        tables = [log_ratios(*draw_pairs(size, generator, coordinates)) for _ in range(TABLES)]
        means.append(float(torch.stack([F.infonce_estimate(F.dense_scores(t)) for t in tables]).mean()))
    return means


MEASURED = {coordinates: estimates(coordinates) for coordinates in COORDINATES}


def ceiling(figure: Figure, palette: Palette) -> None:
    """InfoNCE's estimate against the number of rows in a batch."""
    ax = figure.subplots()
    ax.plot(SIZES, [math.log(size) for size in SIZES], color=palette.ink, lw=1.2, ls="--")
    ax.text(84, 4.6, "ceiling: log of the batch", ha="right", va="center")
    for coordinates, colour in zip(COORDINATES, palette.examples, strict=True):
        ax.axhline(coordinates * TRUTH, color=colour, lw=1, ls=":")
        ax.plot(SIZES, MEASURED[coordinates], "o-", color=colour, ms=4, label=f"{coordinates * TRUTH:.1f} nats")
    ax.set_xscale("log", base=2)
    ax.set_xticks(SIZES, [str(size) for size in SIZES])
    ax.set(xlabel="rows in a batch", ylabel="mean estimate, nats", ylim=(0, 5.9))
    ax.legend(title="truth (dotted)", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def train() -> tuple[list[int], list[float]]:
    """A critic of two small networks, trained on fresh rows; its estimate on other fresh rows."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    towers = nn.ModuleList(nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(2))
    loss_fn = InfoMaxLoss(32, 32, units=32)
    optimizer = torch.optim.Adam([*towers.parameters(), *loss_fn.parameters()], lr=3e-3)
    steps, nats = [], []
    for step in range(STEPS + 1):
        if step % 10 == 0:
            with torch.no_grad():
                x, y = draw_pairs(BATCH, generator, 3)
                steps.append(step)
                nats.append(float(loss_fn.mutual_information(towers[0](x), towers[1](y))))
        x, y = draw_pairs(BATCH, generator, 3)
        optimizer.zero_grad()
        loss_fn(towers[0](x), towers[1](y)).backward()
        optimizer.step()
    print(f"trained critic: {sum(nats[-10:]) / 10:.2f} nats over the last ten looks, truth {3 * TRUTH:.2f}")
    return steps, nats


LEARNT = train()


def critic(figure: Figure, palette: Palette) -> None:
    """The estimate of a critic as it learns."""
    ax = figure.subplots()
    ax.plot(*LEARNT, color=palette.examples[0], lw=1.8)
    for value, text in ((3 * TRUTH, "truth"), (math.log(BATCH), f"ceiling of {BATCH} rows")):
        ax.axhline(value, color=palette.quiet, lw=1, ls="--")
        ax.text(STEPS, value + 0.08, f"{text}, {value:.2f}", ha="right", va="bottom", color=palette.quiet)
    ax.axhline(0, color=palette.quiet, lw=0.6)
    ax.set(xlabel="training step", ylabel="estimate, nats", ylim=(-1, 5.6))


if __name__ == "__main__":
    save("normals-pairs", pairs, 2.9)
    save("normals-table", table, 3.9)
    save("normals-ceiling", ceiling, 3.7)
    save("normals-critic", critic, 2.8)
