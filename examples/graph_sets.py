"""InfoGraph: learn vectors of whole graphs without labels, then classify the graphs.

    python examples/graph_sets.py

The data are the 188 molecules of MUTAG: a node is an atom, its tag says which element, and the class says whether the
molecule causes mutations. The local features are the atoms, rows of all molecules one after the other, and the global
one is their sum over the molecule. The atoms of the other molecules of a batch are the negatives. A support vector
machine classifies the frozen vectors in ten folds. A figure is written to runs/graph_sets/.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from infomax import LocalDIMLoss

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PUBLISHED = 89.0
UNITS, LAYERS = 32, 3


def main() -> None:
    """Train an encoder per seed, compare three kinds of features, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many encoders to train (default: 3)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the graphs (default: 20)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of mutag.npz")
    parser.add_argument("--out", type=Path, default=Path("runs/graph_sets"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="an epoch and two folds only, to see that it runs")
    options = parser.parse_args()
    folds = range(10)
    if options.smoke:
        options.seeds, options.epochs, folds = 1, 1, range(2)
    path = options.data / "mutag.npz"
    if not path.exists():
        sys.exit(f"{path} is missing: give the folder that holds it with --data")

    data = np.load(path)
    atoms = nn.functional.one_hot(torch.from_numpy(data["node_tag"]).long()).float()
    graph, edges = torch.from_numpy(data["graph"]).long(), torch.from_numpy(data["edge_index"]).long()
    label, fold = data["label"], data["fold"]
    accuracies: dict[str, list[float]] = {"counts of atoms": [classify(add_up(atoms, graph), label, fold, folds)]}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        encoder = Encoder(atoms.shape[1])
        for name, epochs in (("untrained encoder", 0), ("trained encoder", options.epochs)):
            fit(encoder, atoms, edges, graph, epochs)
            vectors = embed(encoder, atoms, edges, graph)
            accuracies.setdefault(name, []).append(classify(vectors, label, fold, folds))
        print(f"seed {seed}: {accuracies['trained encoder'][-1]:.1f} %", flush=True)

    print(f"\nMUTAG, accuracy in % over {len(folds)} folds, mean and standard deviation over seeds\n")
    for name, values in accuracies.items():
        print(f"{name:<20}{np.mean(values):>6.1f} ± {np.std(values):.1f}  ({len(values)} seeds)")
    print(f"{'published':<20}{PUBLISHED:>6.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(vectors, label, accuracies).savefig(options.out / "mutag.png")
    print(f"\nFigure: {options.out / 'mutag.png'}")


class Encoder(nn.Module):
    """A graph isomorphism network; the features of a node are those of all layers, one after the other."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        widths = [tags, *[UNITS] * LAYERS]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, UNITS), nn.BatchNorm1d(UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU())
            for a in widths[:-1]
        )

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        found = []
        for layer in self.layers:
            nodes = layer(nodes.index_add(0, edges[1], nodes[edges[0]]))  # a node and the sum of its neighbours
            found.append(nodes)
        return torch.cat(found, 1)


def add_up(nodes: Tensor, graph: Tensor) -> Tensor:
    """The sum of the nodes of each graph."""
    return nodes.new_zeros(int(graph.max()) + 1, nodes.shape[1]).index_add(0, graph, nodes)


def fit(encoder: Encoder, atoms: Tensor, edges: Tensor, graph: Tensor, epochs: int, size: int = 64) -> None:
    """Train the encoder on batches of graphs: no labels come in here."""
    width = UNITS * LAYERS
    loss_fn = LocalDIMLoss(width, width, critic="dot", units=64, estimator="jsd")
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    encoder.train()
    for _ in range(epochs):
        for drawn in torch.randperm(int(graph.max()) + 1).split(size):
            rows, inside, batch = subset(drawn, edges, graph)
            nodes = encoder(atoms[rows], inside)
            loss = loss_fn(nodes, add_up(nodes, batch), batch=batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def subset(drawn: Tensor, edges: Tensor, graph: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Some of the graphs: their nodes, their edges among these, and the graph of each, counted anew."""
    place = torch.full((int(graph.max()) + 1,), -1)
    place[drawn] = torch.arange(len(drawn))
    rows = (place[graph] >= 0).nonzero().squeeze(1)
    number = torch.full((len(graph),), -1)
    number[rows] = torch.arange(len(rows))
    return rows, number[edges[:, number[edges[0]] >= 0]], place[graph[rows]]


@torch.no_grad()
def embed(encoder: Encoder, atoms: Tensor, edges: Tensor, graph: Tensor) -> Tensor:
    encoder.eval()
    return add_up(encoder(atoms, edges), graph)


def classify(vectors: Tensor, label: np.ndarray, fold: np.ndarray, folds: range) -> float:
    """Mean accuracy in % over the test folds; the other folds choose the penalty among themselves."""
    correct = []
    for test in folds:
        machine = make_pipeline(StandardScaler(), SVC())
        search = GridSearchCV(machine, {"svc__C": [1, 10, 100, 1000]}, cv=5)
        search.fit(vectors[fold != test].numpy(), label[fold != test])
        correct.append(search.score(vectors[fold == test].numpy(), label[fold == test]))
    return 100 * float(np.mean(correct))


def draw(vectors: Tensor, label: np.ndarray, accuracies: dict[str, list[float]]) -> Figure:
    """The trained vectors in two dimensions, and the accuracies."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    flat, _, _ = torch.pca_lowrank((vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6), q=2, niter=8)
    left.scatter(*flat.T, c=label, s=12, cmap="coolwarm")
    left.set(title="trained vectors, coloured by class", xlabel="two principal components", xticks=[], yticks=[])
    for place, values in enumerate(accuracies.values()):
        right.plot([place] * len(values), values, "o", alpha=0.5)
    right.axhline(PUBLISHED, color="grey", linestyle="--", label="published, trained encoder")
    right.set(
        xticks=range(len(accuracies)), xticklabels=accuracies, ylabel="accuracy in ten folds, %", xlim=(-0.5, 2.5)
    )
    right.legend()
    return figure


if __name__ == "__main__":
    main()
