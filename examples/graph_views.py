"""
Two views of a graph
====================

GRACE learns features of the nodes of a graph from two views of the graph, without labels.

::

    python examples/graph_views.py --data FOLDER

The data are the citation graph Cora: a node is a paper, its features say which words it contains, and an edge is a
citation. A view drops some edges and hides some words. A node of one view has to find itself in the other view, among
all other nodes of both views. The table of scores between all nodes is never stored, so the graph may be large.
Logistic regression is then trained on the frozen node features, with the 20 labels per class of the public split.

One full run, seed 0: raw words 60.4 %, untrained encoder 64.8 %, trained encoder 70.2 %. The training is short.

A figure is written to runs/graph_views/.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from infomax import CosineCritic, InfoMaxLoss

DATA = Path("data")  # docs/gallery.md says how to make the archives
UNITS = 128
VIEWS = ((0.2, 0.3), (0.4, 0.4))  # of each view: the share of edges dropped, the share of words hidden


def main() -> None:
    """Train an encoder per seed, compare three kinds of features, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many encoders to train (default: 1)")
    parser.add_argument("--epochs", type=int, default=40, help="training steps, each on all nodes (default: 40)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of cora.npz")
    parser.add_argument("--out", type=Path, default=Path("runs/graph_views"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="two epochs only, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.epochs = 1, 2
    path = options.data / "cora.npz"
    if not path.exists():
        sys.exit(f"{path} is missing: give the folder that holds it with --data")

    graph = np.load(path)
    features, edges = load(graph)
    accuracies: dict[str, list[float]] = {"raw words": [classify(features.to_dense(), graph)]}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        encoder = Encoder(features.shape[1])
        for name, epochs in (("untrained encoder", 0), ("trained encoder", options.epochs)):
            losses = fit(encoder, features, edges, epochs)
            with torch.no_grad():
                nodes = encoder(features, adjacency_of(edges, len(features)))
            accuracies.setdefault(name, []).append(classify(nodes, graph))
        print(f"seed {seed}: {accuracies['trained encoder'][-1]:.1f} %", flush=True)

    print("\nCora, accuracy in % on the test nodes, mean and standard deviation over seeds\n")
    for name, values in accuracies.items():
        spread = f" ± {np.std(values):.1f}  ({len(values)} seeds)" if len(values) > 1 else ""
        print(f"{name:<20}{np.mean(values):>6.1f}{spread}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(losses, accuracies, len(features)).savefig(options.out / "cora.png")
    print(f"\nFigure: {options.out / 'cora.png'}")


# %%
# The graph
# ---------


def load(graph: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return sparse node features whose rows sum to 1, and the edges (2, E), each in one direction."""
    nodes, words = graph["shape"]
    entries = torch.from_numpy(np.stack([graph["feature_row"], graph["feature_col"]])).long()
    values = torch.from_numpy(graph["feature_value"])
    total = torch.zeros(nodes).index_add(0, entries[0], values)
    features = torch.sparse_coo_tensor(entries, values / total[entries[0]], (nodes, words), check_invariants=True)
    edges = torch.from_numpy(graph["edge_index"]).long()
    return features.coalesce(), edges[:, edges[0] < edges[1]]


def adjacency_of(edges: Tensor, nodes: int) -> Tensor:
    """Return the normalised adjacency matrix of a GCN, with both directions of each edge and a loop at each node."""
    loops = torch.arange(nodes).expand(2, -1)
    both = torch.cat([edges, edges.flip(0), loops], 1)
    degree = torch.bincount(both[0], minlength=nodes).float()
    weights = (degree[both[0]] * degree[both[1]]).rsqrt()
    return torch.sparse_coo_tensor(both, weights, (nodes, nodes), check_invariants=True).coalesce()


# %%
# The encoder
# -----------


class Encoder(nn.Module):
    """Two graph convolutions: relu(A X W), twice."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.first = nn.Parameter(nn.init.xavier_uniform_(torch.empty(words, 2 * UNITS)))
        self.second = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2 * UNITS, UNITS)))

    def forward(self, features: Tensor, adjacency: Tensor, shown: Tensor | None = None) -> Tensor:
        """Encode the nodes; ``shown``, (words,), is 0 for hidden words and 1 for the others."""
        weight = self.first if shown is None else self.first * shown[:, None]
        hidden = torch.sparse.mm(adjacency, torch.sparse.mm(features, weight)).relu()
        return torch.sparse.mm(adjacency, hidden @ self.second).relu()


# %%
# Training
# --------


def fit(encoder: Encoder, features: Tensor, edges: Tensor, epochs: int) -> list[float]:
    """Train the encoder on all nodes in each step, without labels; return the losses."""
    head = nn.Sequential(nn.Linear(UNITS, UNITS), nn.ELU(), nn.Linear(UNITS, UNITS))
    loss_fn = InfoMaxLoss(UNITS, UNITS, critic=partial(CosineCritic, units=None, temperature=0.4), same_side=True)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=5e-3, weight_decay=1e-5)
    losses = []
    for _ in range(epochs):
        views = []
        for dropped, hidden in VIEWS:
            kept = edges[:, torch.rand(edges.shape[1]) >= dropped]
            shown = (torch.rand(features.shape[1]) >= hidden).float()
            views.append(head(encoder(features, adjacency_of(kept, len(features)), shown)))
        loss = loss_fn(*views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %%
# What was learnt
# ---------------


def classify(nodes: Tensor, graph: dict[str, np.ndarray]) -> float:
    """Return the test accuracy in % of logistic regression; the validation nodes choose its penalty."""
    nodes = nodes.numpy() / np.linalg.norm(nodes.numpy(), axis=1, keepdims=True).clip(1e-12)
    train, val, test = graph["train"], graph["val"], graph["test"]
    label = graph["label"]
    models = [LogisticRegression(C=C, max_iter=500).fit(nodes[train], label[train]) for C in (1, 3, 10, 30, 100)]
    best = max(models, key=lambda model: model.score(nodes[val], label[val]))
    return 100 * best.score(nodes[test], label[test])


def draw(losses: list[float], accuracies: dict[str, list[float]], nodes: int) -> Figure:
    """Draw the loss over the steps, and the accuracies."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.plot(losses)
    left.axhline(np.log(2 * nodes - 1), color="grey", linestyle="--", label="a critic that knows nothing")
    left.set(xlabel="step", ylabel="loss, nats")
    left.legend()
    for place, values in enumerate(accuracies.values()):
        right.plot([place] * len(values), values, "o")
    names = [name.replace(" ", "\n", 1) for name in accuracies]
    right.set(xticks=range(len(names)), xticklabels=names, ylabel="test accuracy, %", xlim=(-0.5, 2.5))
    return figure


# %%
# Run it
# ------


if __name__ == "__main__":
    main()
