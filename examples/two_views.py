"""Two views: learn images without labels by recognising each one after a change, as SimCLR does.

    python examples/two_views.py

Two views of an image are moved, stretched, flipped and recoloured at random. A view has to find the other view of the
same image among all other views of the batch, of both sides. With these options `InfoMaxLoss` is SimCLR's loss; the
same training with the formula written out in plain PyTorch stands beside it. Logistic regression reads the class of
the garment (Fashion-MNIST; scikit-learn's digits where it is missing) from the frozen features with 10 labels per
class. A figure is written to runs/two_views/.
"""

import argparse
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from infomax import CosineCritic, InfoMaxLoss

DATA = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
TEMPERATURE, UNITS = 0.2, 64


def main() -> None:
    """Train an encoder with our loss and one with the formula written out, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, help="images to train on (default: 4000)")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the images (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and views (default: 0)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of Fashion-MNIST; digits where it is missing")
    parser.add_argument("--out", type=Path, default=Path("runs/two_views"), help="where the figure goes")
    parser.add_argument(
        "--smoke", action="store_true", help="one epoch on 512 images and two draws of labels, to see that it runs"
    )
    options = parser.parse_args()
    draws = 10
    if options.smoke:
        options.images, options.epochs, draws = 512, 1, 2

    images, labels = load(options.data, "train")
    test, test_labels = load(options.data, "test")
    images, labels, test, test_labels = (
        images[: options.images],
        labels[: options.images],
        test[:2000],
        test_labels[:2000],
    )
    critic = partial(CosineCritic, units=None, temperature=TEMPERATURE)
    losses = {
        "untrained encoder": None,
        "formula written out": written_out,
        "trained encoder": InfoMaxLoss(UNITS, UNITS, critic=critic, same_side=True),
    }
    print(
        f"accuracy in % on {len(test)} test images, 10 labels per class, mean and standard deviation of {draws} draws\n"
    )
    accuracies = {"raw pixels": classify(images.flatten(1), labels, test.flatten(1), test_labels, draws)}
    for name, loss_fn in losses.items():
        torch.manual_seed(options.seed)
        encoder = build_encoder()
        if loss_fn is not None:
            fit(encoder, images, loss_fn, options.epochs)
        accuracies[name] = classify(embed(encoder, images), labels, embed(encoder, test), test_labels, draws)
    for name, values in accuracies.items():
        print(f"{name:<22}{np.mean(values):>6.1f} ± {np.std(values):.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(images[:6], accuracies).savefig(options.out / "views.png")
    print(f"\nFigure: {options.out / 'views.png'}")


def load(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, h, w) from 0 to 1, and their classes."""
    prefix = {"train": "train", "test": "t10k"}[part]
    if not (folder / f"{prefix}-images-idx3-ubyte.gz").exists():
        from sklearn.datasets import load_digits

        digits = load_digits()
        chosen = slice(None, 1200) if part == "train" else slice(1200, None)
        return torch.tensor(digits.images[chosen]).float()[:, None] / 16, torch.tensor(digits.target[chosen])
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8).view(-1, 1, 28, 28) / 255
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz") as file:
        return images, torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8).long()


def build_encoder() -> nn.ModuleDict:
    """Convolutions to 128 features, which are read, and a head to the vectors that the loss compares."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    head = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, UNITS))
    return nn.ModuleDict({"body": nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), "head": head})


def view(images: Tensor) -> Tensor:
    """The images, each moved, turned, stretched, perhaps flipped, and recoloured at random."""
    maps = torch.eye(2, 3) + 0.2 * torch.randn(len(images), 2, 3)
    maps[:, :, 0] *= torch.where(torch.rand(len(images), 1) < 0.5, -1.0, 1.0)
    moved = grid_sample(images, affine_grid(maps, list(images.shape), align_corners=False), align_corners=False)
    gain, shift = 0.3 * torch.randn(2, len(images), 1, 1, 1)
    return (1 + gain) * moved + shift


def written_out(x: Tensor, y: Tensor) -> Tensor:
    """SimCLR's loss (NT-Xent) in plain PyTorch: a table of 2N x 2N scores."""
    both = normalize(torch.cat([x, y]), dim=1)
    table = (both @ both.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return cross_entropy(table, torch.arange(len(both)).roll(len(x)))


def fit(encoder: nn.ModuleDict, images: Tensor, loss_fn: Callable[[Tensor, Tensor], Tensor], epochs: int) -> None:
    """Train the encoder: no labels come in here."""
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    encoder.train()
    for _ in range(epochs):
        for drawn in torch.randperm(len(images)).split(256):
            both = encoder["head"](encoder["body"](torch.cat([view(images[drawn]), view(images[drawn])])))
            loss = loss_fn(*both.chunk(2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def embed(encoder: nn.ModuleDict, images: Tensor) -> Tensor:
    encoder.eval()
    return torch.cat([encoder["body"](part) for part in images.split(1000)])


def classify(train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, draws: int) -> list[float]:
    """Accuracies in % of logistic regression, for some draws of 10 labelled images per class."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / std, (test - mean) / std
    accuracies = []
    for seed in range(draws):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        shown = torch.cat([order[labels[order] == label][:10] for label in range(10)])
        model = LogisticRegression(C=0.1, max_iter=300).fit(train[shown], labels[shown])
        accuracies.append(100 * model.score(test, test_labels))
    return accuracies


def draw(images: Tensor, accuracies: dict[str, list[float]]) -> Figure:
    """Six images, two views of each, and the accuracies."""
    figure = plt.figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for row, shown in zip(left.subplots(3, 6), (images, view(images), view(images)), strict=True):
        for axes, image in zip(row, shown, strict=True):
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
            axes.axis("off")
    axes = right.subplots()
    for place, values in enumerate(accuracies.values()):
        axes.plot([place] * len(values), values, "o", alpha=0.5)
    names = [name.replace(" ", "\n", 1) for name in accuracies]
    axes.set(xticks=range(len(names)), xticklabels=names, ylabel="test accuracy, 10 labels per class, %")
    return figure


if __name__ == "__main__":
    main()
