"""
Nodes of a graph
================

Deep Graph Infomax learns features of the nodes of a graph without labels. A classifier then needs only a few labels.

::

    python examples/graph_nodes.py --data FOLDER --graph cora --seeds 20

The data are citation graphs: a node is a paper, its features say which words it contains, and an edge is a citation.
The local features are those of the nodes, and the global feature is a summary of the graph. The negatives are the nodes
of a corrupted graph, in which the papers have exchanged their words. Logistic regression is then trained on the frozen
node features, with the 20 labels per class of the public split.

One full run on Cora, seed 0: raw words 60.4 %, untrained encoder 73.8 %, trained encoder 82.7 %; published 82.3 %.

A figure is written to runs/graph_nodes/.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from infomax import InfoMaxLoss, LocalDIMLoss

DATA = Path("data")  # docs/gallery.md says how to make the archives
PUBLISHED = {"cora": 82.3, "citeseer": 71.8}
UNITS = 512


def main() -> None:
    """Train an encoder per seed, compare three kinds of features, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", choices=sorted(PUBLISHED), default="cora", help="which graph (default: cora)")
    parser.add_argument("--summary", choices=("graph", "neighbourhood"), default="graph", help="what the global one is")
    parser.add_argument("--loss", choices=("infomax", "pyg"), default="infomax", help="pyg: PyTorch Geometric's loss")
    parser.add_argument("--corruptions", type=int, default=1, help="corrupted graphs per epoch (default: 1)")
    parser.add_argument("--seeds", type=int, default=1, help="how many encoders to train (default: 1)")
    parser.add_argument("--epochs", type=int, default=1000, help="epochs at most (default: 1000)")
    parser.add_argument(
        "--patience", type=int, default=20, help="stop after so many without a lower loss (default: 20)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of cora.npz and citeseer.npz")
    parser.add_argument("--out", type=Path, default=Path("runs/graph_nodes"), help="where the figure goes")
    parser.add_argument("--smoke", action="store_true", help="a few epochs only, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.epochs = 1, 3
    if options.loss == "pyg" and options.summary != "graph":
        parser.error("--loss pyg knows the summary of the whole graph only: leave out --summary neighbourhood")
    if options.loss == "pyg" and options.corruptions != 1:
        parser.error("--loss pyg knows one corruption per epoch only: leave out --corruptions")
    if options.corruptions < 1:
        parser.error(f"--corruptions: expected at least 1; got {options.corruptions}")
    path = options.data / f"{options.graph}.npz"
    if not path.exists():
        sys.exit(f"{path} is missing: give the folder that holds it with --data")

    graph = np.load(path)
    features, adjacency = load(graph)
    accuracies: dict[str, list[float]] = {"raw words": [classify(features.to_dense(), graph)]}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        encoder = Encoder(features.shape[1])
        accuracies.setdefault("untrained encoder", []).append(classify(encoder.embed(features, adjacency), graph))
        pyg = options.loss == "pyg"
        epochs = fit(
            encoder, features, adjacency, options.summary, options.epochs, options.patience, options.corruptions, pyg
        )
        nodes = encoder.embed(features, adjacency)
        accuracies.setdefault("trained encoder", []).append(classify(nodes, graph))
        print(f"seed {seed}: {epochs} epochs, {accuracies['trained encoder'][-1]:.1f} %", flush=True)

    print(f"\n{options.graph}, accuracy in % on the test nodes, mean and standard deviation over seeds\n")
    for name, values in accuracies.items():
        spread = f" ± {np.std(values):.1f}  ({len(values)} seeds)" if len(values) > 1 else ""
        print(f"{name:<20}{np.mean(values):>6.1f}{spread}")
    print(f"{'published':<20}{PUBLISHED[options.graph]:>6.1f}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(nodes, graph["label"], accuracies, PUBLISHED[options.graph]).savefig(options.out / f"{options.graph}.png")
    print(f"\nFigure: {options.out / f'{options.graph}.png'}")


# %%
# The graph
# ---------


def load(graph: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return node features whose rows sum to 1, and the normalised adjacency matrix of a GCN, both sparse."""
    nodes, words = graph["shape"]
    entries = torch.from_numpy(np.stack([graph["feature_row"], graph["feature_col"]])).long()
    values = torch.from_numpy(graph["feature_value"])
    total = torch.zeros(nodes).index_add(0, entries[0], values)
    features = sparse(entries, values / total[entries[0]], (nodes, words))

    loops = torch.arange(nodes).expand(2, -1)
    edges = torch.cat([torch.from_numpy(graph["edge_index"]).long(), loops], 1)
    degree = torch.bincount(edges[0], minlength=nodes).float()
    weights = (degree[edges[0]] * degree[edges[1]]).rsqrt()
    return features, sparse(edges, weights, (nodes, nodes))


def sparse(entries: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(entries, values, shape, check_invariants=True).coalesce()


def mean_over_neighbours(adjacency: Tensor) -> Tensor:
    """Return the matrix that averages over each node and its neighbours."""
    edges = adjacency.indices()
    degree = torch.bincount(edges[0], minlength=len(adjacency)).float()
    return sparse(edges, 1 / degree[edges[0]], adjacency.shape)


# %%
# The encoder
# -----------


class Encoder(nn.Module):
    """One graph convolution: PReLU(A X W + b)."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(words, UNITS)))
        self.bias = nn.Parameter(torch.zeros(UNITS))
        self.activation = nn.PReLU()

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        return self.convolve(torch.sparse.mm(features, self.weight), adjacency)

    def convolve(self, hidden: Tensor, adjacency: Tensor) -> Tensor:
        return self.activation(torch.sparse.mm(adjacency, hidden) + self.bias)

    @torch.no_grad()
    def embed(self, features: Tensor, adjacency: Tensor) -> Tensor:
        return self(features, adjacency)


# %%
# Training
# --------
#
# `batch` says which graph each node belongs to, so that a graph may have any number of nodes. With `in_batch=False` the
# corrupted nodes are the only negatives. With `--loss pyg`, PyTorch Geometric's class computes the loss of the same
# nodes.


def fit(
    encoder: Encoder,
    features: Tensor,
    adjacency: Tensor,
    summary: str,
    epochs: int,
    patience: int = 20,
    corruptions: int = 1,
    pyg: bool = False,
) -> int:
    """Train until the loss has not fallen for ``patience`` epochs; return the number of epochs.

    The encoder ends with the weights of the lowest loss.
    """
    if pyg:
        from torch_geometric.nn import DeepGraphInfomax

        loss_fn: nn.Module = DeepGraphInfomax(UNITS, nn.Identity(), summary=None, corruption=None)
    elif summary == "graph":
        loss_fn = LocalDIMLoss(UNITS, UNITS, critic="bilinear", estimator="jsd", in_batch=False)
    else:
        loss_fn = InfoMaxLoss(UNITS, UNITS, critic="bilinear", estimator="jsd", in_batch=False, symmetric=False)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()], lr=1e-3)
    everywhere = torch.zeros(len(features), dtype=torch.long)  # all nodes belong to graph 0
    neighbours = mean_over_neighbours(adjacency)
    losses: list[float] = []
    for _ in range(epochs):
        hidden = torch.sparse.mm(features, encoder.weight)
        nodes = encoder.convolve(hidden, adjacency)
        # In a corrupted graph, the nodes have exchanged their features.
        orders = [torch.randperm(len(features)) for _ in range(corruptions)]
        corrupted = torch.stack([encoder.convolve(hidden[order], adjacency) for order in orders], 1)  # (N, M, c)
        if pyg:
            loss = loss_fn.loss(nodes, corrupted[:, 0], nodes.mean(0).sigmoid())
        elif summary == "graph":
            whole = nodes.mean(0, keepdim=True).sigmoid()
            loss = loss_fn(nodes, whole, batch=everywhere, negatives=corrupted.flatten(0, 1))
        else:  # the negatives of each node are the corrupted nodes in its place
            around = torch.sparse.mm(neighbours, nodes).sigmoid()
            loss = loss_fn(nodes, around, negatives=corrupted)
        losses.append(loss.item())
        if loss.item() == min(losses):
            best = {name: value.clone() for name, value in encoder.state_dict().items()}
        elif min(losses[-patience:]) > min(losses):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.load_state_dict(best)
    return len(losses)


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


def draw(nodes: Tensor, label: np.ndarray, accuracies: dict[str, list[float]], published: float) -> Figure:
    """Draw the trained nodes in two dimensions, and the accuracies."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    flat, _, _ = torch.pca_lowrank(nn.functional.normalize(nodes), q=2, niter=8)
    left.scatter(*flat[label >= 0].T, c=label[label >= 0], s=4, cmap="tab10", vmin=0, vmax=10)
    left.set(title="trained nodes, coloured by class", xlabel="two principal components", xticks=[], yticks=[])
    for place, values in enumerate(accuracies.values()):
        right.plot([place] * len(values), values, "o", alpha=0.5)
    right.axhline(published, color="grey", linestyle="--", label="published, trained encoder")
    right.set(xticks=range(len(accuracies)), xticklabels=accuracies, ylabel="test accuracy, %", xlim=(-0.5, 2.5))
    right.legend()
    return figure


# %%
# Run it
# ------


if __name__ == "__main__":
    main()
