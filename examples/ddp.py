"""
Several processes
=================

Deep InfoMax splits each batch over several processes and uses the negatives of all of them.

::

    torchrun --nproc-per-node 2 examples/ddp.py      # python examples/ddp.py does the same

Each process holds its share of the batch. With gather=True, the loss takes the rows of the other processes as
negatives, so that loss and gradients are those of one process with the whole batch. The data are scikit-learn's digits.
The processes use gloo, or NCCL where every process has a GPU. Three trainings start from the same weights. The first
has the whole batch in one process. The second splits the batch and gathers the negatives. The third splits the batch,
and each process has only its own negatives, as with DistributedDataParallel alone. The reported number is the test
accuracy of a linear classifier that is trained with three labels per digit.

One full run on two processes, seed 0: raw pixels 78.4 %, untrained encoder 71.8 %, whole batch in one process 85.1 %,
split with gathered negatives 84.9 %, split with own negatives 86.6 %. The first ten losses with gathered negatives are
within 5e-7 of those of one process. On digits, fewer negatives do not reduce the accuracy.

A figure is written to runs/ddp/.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from infomax import LocalDIMLoss, tap

UNITS, LABELS, TRAINED, BATCH = 64, 3, 1297, 32


# %%
# Encoder and loss in one module
# ------------------------------


class Training(nn.Module):
    """Encoder and loss in one module, so that DistributedDataParallel averages the gradients of both."""

    def __init__(self, gather: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Flatten(), nn.Linear(64 * 16, 256), nn.ReLU(), nn.Linear(256, UNITS)),
        )
        self.features = tap(self.encoder, local="0", global_="1")
        self.loss_fn = LocalDIMLoss(local_dim=64, global_dim=UNITS, units=128, gather=gather)

    def forward(self, view: Tensor, other: Tensor) -> Tensor:
        return self.loss_fn(self.features(view).local, self.features(other).global_)


# %%
# Three trainings
# ---------------


def main() -> None:
    """Train three times; the first process compares and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="of each training (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("runs/ddp"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.steps = 5
    if not dist.is_torchelastic_launched():
        start_processes()
        return
    gpu = torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"])
    dist.init_process_group("nccl" if gpu else "gloo")
    rank = dist.get_rank()
    device = torch.device("cuda", rank) if gpu else torch.device("cpu")

    digits = load_digits()
    images, labels = torch.tensor(digits.images).float()[:, None] / 8 - 1, torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order].to(device), labels[order]
    train = images[:TRAINED]

    losses, features = {}, {"raw pixels": images.flatten(1)}
    for name, gather in (("split, gathered negatives", True), ("split, own negatives", False)):
        torch.manual_seed(options.seed)  # the same weights on every process
        training = Training(gather).to(device)
        features.setdefault("untrained encoder", embed(training, images))
        losses[name] = fit(DistributedDataParallel(training), train, options, share=rank)
        features[name] = embed(training, images)
    if rank == 0:  # the whole batch in one process, as a check: nothing is gathered or averaged
        torch.manual_seed(options.seed)
        training = Training(gather=False).to(device)
        losses["whole batch, one process"] = fit(training, train, options, share=None)
        features["whole batch, one process"] = embed(training, images)
        report(losses, features, labels, options.out)
    dist.barrier()
    dist.destroy_process_group()


def start_processes() -> None:
    """Run this file on two processes, with the same options, and show what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *sys.argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as processes:
        for line in processes.stdout:
            print(line, end="", flush=True)
    if processes.returncode:
        sys.exit(processes.returncode)


# %%
# Training
# --------
#
# Every process draws the same batch and takes its own share of it.


def fit(training: nn.Module, images: Tensor, options: argparse.Namespace, share: int | None) -> list[float]:
    """Train on this process's share of every batch, or on the whole batch; return the losses of this process."""
    optimizer = torch.optim.Adam(training.parameters(), lr=1e-3)
    drawn = torch.Generator().manual_seed(options.seed)
    losses = []
    for _ in range(options.steps):
        batch = images[torch.randperm(len(images), generator=drawn)[:BATCH].to(images.device)]
        views = moved(batch, drawn), moved(batch, drawn)
        if share is not None:
            views = tuple(view.tensor_split(dist.get_world_size())[share] for view in views)
        loss = training(*views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def moved(images: Tensor, drawn: torch.Generator) -> Tensor:
    """Move, turn and stretch each image at random."""
    maps = torch.eye(2, 3) + 0.12 * torch.randn(len(images), 2, 3, generator=drawn)
    grid = nn.functional.affine_grid(maps, list(images.shape), align_corners=False).to(images.device)
    return nn.functional.grid_sample(images, grid, align_corners=False)


# %%
# What was learnt
# ---------------


@torch.no_grad()
def embed(training: Training, images: Tensor) -> Tensor:
    return training.encoder(images)


def probe(features: Tensor, labels: Tensor) -> float:
    """Return the test accuracy in %, a mean over ten draws of labelled images, which choose scaling and penalty."""
    features = features.cpu()
    scale = FunctionTransformer(StandardScaler().fit(features[:TRAINED].numpy()).transform)  # needs no labels
    linear = Pipeline([("scale", scale), ("read", LogisticRegression(max_iter=1000))])
    choices = {"scale": [scale, "passthrough"], "read__C": [0.01, 0.1, 1]}
    correct = []
    for draw in range(10):
        order = torch.randperm(TRAINED, generator=torch.Generator().manual_seed(draw))
        shown = torch.cat([order[labels[order] == digit][:LABELS] for digit in range(10)])
        model = GridSearchCV(linear, choices, cv=LABELS).fit(features[shown].numpy(), labels[shown].numpy())
        correct.append(model.score(features[TRAINED:].numpy(), labels[TRAINED:].numpy()))
    return 100 * sum(correct) / len(correct)


def report(losses: dict[str, list[float]], features: dict[str, Tensor], labels: Tensor, out: Path) -> None:
    """Print accuracies and the difference between gathered and single-process losses; draw losses and accuracies."""
    accuracies = {name: probe(values, labels) for name, values in features.items()}
    print(
        f"Digits, batches of {BATCH} on {dist.get_world_size()} processes, test accuracy in % with {LABELS} labels:\n"
    )
    for name, value in accuracies.items():
        print(f"{name:<28}{value:>6.1f}")
    one, gathered = (torch.tensor(losses[name]) for name in ("whole batch, one process", "split, gathered negatives"))
    off = (one - gathered)[:10].abs().max()
    print(f"\nFirst ten steps: a gathered loss is within {off:.1e} of that of one process")
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), style in zip(losses.items(), ("-", "-", ":"), strict=True):
        left.plot(values, style, label=name)
    left.set(title="Loss of the first process", xlabel="step", ylabel="nats")
    left.legend(frameon=False, fontsize=8)
    right.bar_label(right.barh(list(accuracies), list(accuracies.values())), fmt="%.1f", padding=3)
    right.set(title=f"Test accuracy with {LABELS} labels per digit, %", xlim=(0, 120))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "figure.png", dpi=150)
    print(f"\nFigure: {out / 'figure.png'}")


# %%
# Run it
# ------


if __name__ == "__main__":
    main()
