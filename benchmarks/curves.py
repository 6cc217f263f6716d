"""Training curves that should agree: a batch in chunks and at once, bfloat16 and float32; with a plot."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.harness import DEVICE, RESULTS, write
from benchmarks.memory import peak_bytes
from infomax import LocalDIMLoss, tap
from infomax.training import cached_backward

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["add_options", "run"]

_TITLE = (
    "Training on noisy views of scikit-learn's digits (drawn with replacement), LocalDIMLoss, Adam; peak of one step\n"
    "beyond weights. 'largest gap' is between losses at the same step, in nats."
)
Step = Callable[[nn.Module, LocalDIMLoss, Tensor], Tensor]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options besides ``--smoke``."""
    parser.add_argument("--steps", type=int, nargs=2, default=(30, 200), help="of the large batch, of the precisions")


def run(options: argparse.Namespace) -> None:
    """Train, write the table and draw the plot."""
    steps = (2, 2) if options.smoke else options.steps
    large, small = (64, 16) if options.smoke else (4096, 256)
    runs: dict[str, dict[str, Any]] = {
        f"batch {large}, at once": _train(_plain, large, steps[0], locations=2),
        f"batch {large}, chunks of {small}": _train(_chunks(small), large, steps[0], locations=2),
        f"batch {small}, at once": _train(_plain, small, steps[0], locations=2),
        "float32": _train(_plain, small, steps[1]),
        "bfloat16 autocast": _train(_autocast, small, steps[1]),
    }
    names = list(runs)
    beside = {names[1]: names[0], names[2]: names[0], names[4]: names[3]}
    rows = []
    for name, found in runs.items():
        losses = found["losses"]
        other = runs[beside[name]]["losses"] if name in beside else None
        rows.append(
            {
                "run": name,
                "steps": len(losses),
                "first loss, nats": losses[0],
                "last loss, nats": losses[-1],
                "peak MiB of a step": found["peak"] / 2**20,
                "largest gap": None if other is None else max(abs(a - b) for a, b in zip(losses, other, strict=True)),
                "beside": beside.get(name),
            }
        )
    write("curves", _TITLE, rows, keep=not options.smoke)
    if not options.smoke:
        _draw(runs, names).savefig(RESULTS / f"curves-{DEVICE}.png", dpi=120)


def _plain(features: nn.Module, loss_fn: LocalDIMLoss, images: Tensor) -> Tensor:
    loss = loss_fn(*features(images))
    loss.backward()
    return loss.detach()


def _chunks(size: int) -> Step:
    return lambda features, loss_fn, images: cached_backward(features, loss_fn, images, chunk_size=size)


def _autocast(features: nn.Module, loss_fn: LocalDIMLoss, images: Tensor) -> Tensor:
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        loss = loss_fn(*features(images))
    loss.backward()
    return loss.detach()


def _train(step: Step, batch: int, steps: int, locations: int | None = None) -> dict[str, Any]:
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 32, 3), nn.GroupNorm(4, 32), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(64 * 16, 64)),
    ).to(DEVICE)
    features = tap(encoder, local="0", global_="1")
    loss_fn = LocalDIMLoss(64, 64, units=64, sample_locations=locations, device=DEVICE)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    from sklearn.datasets import load_digits  # imported here, so that the other benchmarks run without scikit-learn

    digits = torch.tensor(load_digits().images / 16.0, dtype=torch.float32).unsqueeze(1)

    def images(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        chosen = digits[torch.randint(len(digits), (batch,), generator=generator)]
        return (chosen + 0.1 * torch.randn(chosen.shape, generator=generator)).to(DEVICE)

    losses = []
    for number in range(steps):
        optimizer.zero_grad()
        losses.append(float(step(features, loss_fn, images(number))))
        optimizer.step()
    given = images(steps)
    peak = peak_bytes(lambda: step(features, loss_fn, given), DEVICE)
    return {"losses": losses, "peak": peak}


def _draw(runs: dict[str, dict[str, Any]], names: list[str]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, chosen, title in ((left, names[:3], "A batch larger than memory"), (right, names[3:], "Precision")):
        for name, style in zip(chosen, ("-", "--", ":"), strict=False):
            axis.plot(runs[name]["losses"], style, label=f"{name}: {runs[name]['peak'] / 2**20:.0f} MiB a step")
        axis.set(xlabel="step", ylabel="loss, nats", title=title)
        axis.legend()
    return figure
