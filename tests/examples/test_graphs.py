"""The graph examples run on synthetic graphs and on the real graphs, and their losses are those of the papers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as nnf

from benchmarks import graphs
from benchmarks.memory import peak_bytes
from infomax import CosineCritic, InfoMaxLoss, LocalDIMLoss

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
NAMES = ("graph_nodes", "graph_sets", "graph_views")

pytestmark = pytest.mark.filterwarnings("default")  # matplotlib and scikit-learn warn


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write small graphs in the layout of the real files: nodes that cite their own class, graphs of two classes."""
    folder = tmp_path_factory.mktemp("planted")
    draw = np.random.default_rng(0)
    label = np.arange(120) % 2
    ends = draw.integers(0, 120, (2, 2000))
    ends = ends[:, (label[ends[0]] == label[ends[1]]) & (ends[0] < ends[1])]
    ends = np.unique(ends, axis=1)
    row, column = np.nonzero(draw.random((120, 30)) < 0.2)
    citations = {
        "feature_row": row,
        "feature_col": column,
        "feature_value": np.ones(len(row), np.float32),
        "shape": np.array([120, 30]),
        "edge_index": np.concatenate([ends, ends[::-1]], 1),
        "label": label,
        "train": np.arange(20),
        "val": np.arange(20, 60),
        "test": np.arange(60, 120),
    }
    np.savez(folder / "cora.npz", **citations)
    np.savez(folder / "citeseer.npz", **citations)
    graph = np.arange(60).repeat(6)
    node = np.arange(360).reshape(60, 6)
    chain = np.stack([node[:, :-1].ravel(), node[:, 1:].ravel()])
    np.savez(
        folder / "mutag.npz",
        node_tag=draw.integers(0, 3, 360),
        graph=graph,
        edge_index=np.concatenate([chain, chain[::-1]], 1),
        label=np.arange(60) % 2,
        fold=np.arange(60) % 10,
    )
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("graph_nodes", []),
        ("graph_nodes", ["--graph", "citeseer", "--summary", "neighbourhood"]),
        ("graph_sets", []),
        ("graph_views", []),
    ],
)
def test_smoke_on_planted_graphs(name, options, run_example, planted):
    said = run_example(name, "--smoke", "--data", planted, *options)
    for row in ("untrained encoder", "trained encoder"):
        assert row in said


def test_the_loss_of_torch_geometric_takes_the_same_steps(example, planted):
    pytest.importorskip("torch_geometric")
    script = example("graph_nodes")
    graph = script.load(np.load(planted / "cora.npz"))
    found = []
    for pyg in (False, True):
        torch.manual_seed(0)
        encoder = script.Encoder(30)
        untrained = encoder.embed(*graph)
        script.fit(encoder, *graph, "graph", 4, pyg=pyg)
        found.append(encoder.embed(*graph))
        assert (found[-1] - untrained).abs().max() > 1e-4
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_the_loss_of_torch_geometric_has_one_summary(run_example, planted, capsys):
    with pytest.raises(SystemExit):
        run_example("graph_nodes", "--data", planted, "--loss", "pyg", "--summary", "neighbourhood")
    assert "leave out --summary neighbourhood" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--corruptions", "0"], "--corruptions: expected at least 1; got 0"),
        (["--loss", "pyg", "--corruptions", "2"], "leave out --corruptions"),
    ],
)
def test_corruptions_that_cannot_be(run_example, planted, capsys, options, said):
    with pytest.raises(SystemExit):
        run_example("graph_nodes", "--data", planted, *options)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n == "graph_views" else []) for n in NAMES]
)
@pytest.mark.skipif(not DATA.exists(), reason=f"the graphs are not there: {DATA}")
def test_smoke_on_real_graphs(name, run_example):
    assert "untrained encoder" in run_example(name, "--smoke", "--data", DATA)


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_are_named(name, run_example, tmp_path):
    with pytest.raises(SystemExit, match=r"npz is missing: .*--data"):
        run_example(name, "--data", tmp_path)


class TestNodes:
    @pytest.fixture
    def script(self, example):
        return example("graph_nodes")

    @pytest.fixture
    def graph(self, script, planted):
        return script.load(np.load(planted / "cora.npz"))

    def test_features_and_adjacency(self, graph):
        features, adjacency = graph
        torch.testing.assert_close(features.to_dense().sum(1), torch.ones(120))
        dense = adjacency.to_dense()
        torch.testing.assert_close(dense, dense.T)
        links = (dense > 0).float()
        assert bool((links.diagonal() == 1).all())
        degree = links.sum(1)
        torch.testing.assert_close(dense, links / (degree[:, None] * degree).sqrt())

    def test_corrupted_nodes_are_nodes_of_shuffled_features(self, script, graph):
        features, adjacency = graph
        encoder, order = script.Encoder(30), torch.randperm(120)
        hidden, shuffled = torch.sparse.mm(features, encoder.weight), features.to_dense()[order].to_sparse()
        torch.testing.assert_close(encoder.convolve(hidden[order], adjacency), encoder(shuffled, adjacency))

    @pytest.mark.parametrize("summary", ["graph", "neighbourhood"])
    def test_each_epoch_corrupts_so_many_graphs(self, script, graph, monkeypatch, summary):
        orders, draw = [], torch.randperm
        monkeypatch.setattr(script.torch, "randperm", lambda n: orders.append(draw(n)) or orders[-1])
        script.fit(script.Encoder(30), *graph, summary, 2, corruptions=3)
        assert len(orders) == 2 * 3
        assert len({tuple(order.tolist()) for order in orders}) == 6

    def test_neighbours_are_averaged(self, script, graph):
        mean = script.mean_over_neighbours(graph[1]).to_dense()
        torch.testing.assert_close(mean.sum(1), torch.ones(120))
        assert torch.equal(mean > 0, graph[1].to_dense() > 0)

    @pytest.mark.parametrize(("summary", "corruptions"), [("graph", 1), ("graph", 3), ("neighbourhood", 2)])
    def test_training_pays(self, script, graph, planted, summary, corruptions):
        data = np.load(planted / "cora.npz")
        torch.manual_seed(0)
        encoder = script.Encoder(30)
        assert 20 < script.fit(encoder, *graph, summary, 60, corruptions=corruptions) <= 60
        raw = script.classify(graph[0].to_dense(), data)
        assert script.classify(encoder.embed(*graph), data) >= max(raw + 20, 85)

    def test_the_weights_of_the_lowest_loss_are_kept(self, script, graph, monkeypatch):
        weights = []

        class Losses(torch.nn.Module):
            """A loss that falls for three epochs and then rises."""

            def __init__(self, *_: object, **__: object) -> None:
                super().__init__()
                self.given = iter([3.0, 2.0, 1.0, *[4.0] * 50])

            def forward(self, nodes: Tensor, *_: object, **__: object) -> Tensor:
                weights.append(encoder.weight.detach().clone())
                return nodes.sum() * 0.01 + (next(self.given) - nodes.sum().detach() * 0.01)

        monkeypatch.setattr(script, "LocalDIMLoss", Losses)
        encoder = script.Encoder(30)
        assert script.fit(encoder, *graph, "graph", 50, patience=5) == 8
        assert torch.equal(encoder.weight, weights[2])
        assert not torch.equal(weights[2], weights[3])


class TestSets:
    def test_a_batch_holds_its_graphs_whole(self, example, planted):
        script = example("graph_sets")
        data = np.load(planted / "mutag.npz")
        graph, edges = torch.from_numpy(data["graph"]), torch.from_numpy(data["edge_index"])
        drawn = torch.tensor([7, 2, 30])
        rows, inside, batch = script.subset(drawn, edges, graph)
        assert torch.equal(drawn[batch], graph[rows])
        assert batch.bincount().tolist() == [6, 6, 6]
        kept = torch.isin(graph[edges[0]], drawn)
        assert torch.equal(rows[inside], edges[:, kept])

    def test_who_chooses_the_epoch(self, example):
        """The training folds choose vectors that separate their own classes best, even if others do so in the test."""
        script, draw = example("graph_sets"), torch.Generator().manual_seed(0)
        label, fold = np.arange(40) % 2, np.arange(40) // 20
        useless = torch.randn(40, 2, generator=draw)
        told = torch.from_numpy(2.0 * label - 1)[:, None].float().expand(40, 2)
        chosen, peeked = script.classify([useless, told], label, fold, range(2))
        assert chosen == peeked == 100
        alone = script.classify([useless], label, fold, range(2))
        assert alone[0] == alone[1] < 90
        tested = torch.from_numpy(fold == 1)[:, None]
        wrong = torch.where(torch.arange(40)[:, None] % 5 == 0, -told, told)  # a fifth of the rows
        candidates = [torch.where(tested, useless, told), torch.where(tested, told, wrong)]
        chosen, peeked = script.classify(candidates, label, fold, range(1, 2))
        assert peeked == 100 > chosen

    def test_whole_and_batch_agree(self, example, planted):
        script = example("graph_sets")
        data = np.load(planted / "mutag.npz")
        graph, edges = torch.from_numpy(data["graph"]), torch.from_numpy(data["edge_index"])
        atoms = nnf.one_hot(torch.from_numpy(data["node_tag"])).float()
        encoder = script.Encoder(3).eval()
        drawn = torch.tensor([7, 2, 30])
        rows, inside, batch = script.subset(drawn, edges, graph)
        vectors = script.add_up(encoder(atoms[rows], inside), batch)
        torch.testing.assert_close(vectors, script.embed(encoder, atoms, edges, graph)[drawn])


class TestViews:
    def test_hidden_words_are_columns_of_zeros(self, example, planted):
        script = example("graph_views")
        features, edges = script.load(np.load(planted / "cora.npz"))
        adjacency = script.adjacency_of(edges, 120)
        shown = (torch.arange(30) % 3 > 0).float()
        encoder = script.Encoder(30)
        hidden = (features.to_dense() * shown).to_sparse()
        torch.testing.assert_close(encoder(features, adjacency, shown), encoder(hidden, adjacency))


class TestLosses:
    """The losses that the examples use equal the formulas of the papers."""

    def test_deep_graph_infomax(self):
        nodes, corrupted = torch.randn(2, 50, 16, dtype=torch.float64)
        summary = torch.randn(1, 16, dtype=torch.float64)
        loss_fn = LocalDIMLoss(16, 16, critic="bilinear", estimator="jsd", in_batch=False, dtype=torch.float64)
        loss = loss_fn(nodes, summary, batch=torch.zeros(50, dtype=torch.long), negatives=corrupted)
        logits = torch.cat([nodes, corrupted]) @ loss_fn.critic.weight(summary)[0]
        real = torch.cat([torch.ones(50), torch.zeros(50)]).double()
        torch.testing.assert_close(loss, 2 * nnf.binary_cross_entropy_with_logits(logits, real))

    def test_summaries_of_neighbourhoods_one_to_one(self):
        nodes, around, corrupted = torch.randn(3, 50, 16, dtype=torch.float64)
        loss_fn = InfoMaxLoss(
            16, 16, critic="bilinear", estimator="jsd", symmetric=False, in_batch=False, dtype=torch.float64
        )
        loss = loss_fn(nodes, around, negatives=corrupted[:, None])
        projected = loss_fn.critic.weight(around)
        joint, marginal = (nodes * projected).sum(1), (corrupted * projected).sum(1)
        torch.testing.assert_close(loss, nnf.softplus(-joint).mean() + nnf.softplus(marginal).mean())

    def test_info_graph(self, example):
        """Sun et al. 2020, eq. 4, written out over graphs of 2, 5 and 3 nodes."""
        networks = example("graph_sets").Networks
        loss_fn = LocalDIMLoss(16, 16, critic=networks, estimator="jsd", dtype=torch.float64)
        nodes, batch = torch.randn(10, 16, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 1, 1, 2, 2, 2])
        sums = torch.zeros(3, 16, dtype=torch.float64).index_add(0, batch, nodes)
        scores = loss_fn.critic.local(nodes) @ loss_fn.critic.global_(sums).T
        own = nnf.one_hot(batch, 3).bool()
        expected = nnf.softplus(-scores[own]).mean() + nnf.softplus(scores[~own]).mean()
        torch.testing.assert_close(loss_fn(nodes, sums, batch=batch), expected)

    def test_grace_in_constant_memory(self):
        u, v = (torch.randn(3000, 8).requires_grad_() for _ in range(2))
        critic = partial(CosineCritic, units=None, temperature=graphs.TEMPERATURE)
        loss_fn = InfoMaxLoss(8, 8, critic=critic, same_side=True)
        torch.testing.assert_close(loss_fn(u, v), graphs.grace_written_out(u, v))
        ours = peak_bytes(lambda: loss_fn(u, v).backward())
        written_out = peak_bytes(lambda: graphs.grace_written_out(u, v).backward())
        assert ours < 2 * 64 * 2**20 < written_out

    @pytest.mark.parametrize("name", graphs.CASES)
    def test_gradients_of_the_benchmark(self, name):
        ours, written_out = graphs.CASES[name](True).pairs
        assert graphs.gradient_error(ours, written_out) < 1e-5

    def test_the_benchmark_sees_a_wrong_loss(self):
        wrong = InfoMaxLoss(64, 64, critic=partial(CosineCritic, units=None, temperature=graphs.TEMPERATURE))
        assert graphs.gradient_error(wrong, graphs.grace_written_out) > 1e-2
