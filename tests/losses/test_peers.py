"""The losses of other libraries, as `docs/migrating.md` writes them: values and gradients, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from contracts.layouts import randn
from peers import peer
from tolerances import assert_close
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import CosineCritic, InfoMaxLoss, LocalDIMLoss
from infomax import functional as F

N, D = 9, 6
TEMPERATURE = 0.2
cosine = partial(CosineCritic, units=None, temperature=TEMPERATURE)
learned = partial(CosineCritic, units=None, temperature="learned")

pytestmark = pytest.mark.filterwarnings("default")  # warnings that the other libraries raise on import


def leaf(*shape: int, seed: int) -> Tensor:
    return randn(*shape, seed=seed).requires_grad_()


def check_equal(ours: Tensor, theirs: Tensor, *leaves: Tensor | tuple[Tensor, Tensor], off: float = 1e-11) -> None:
    """Compare the values, and the gradients of each leaf. A leaf given as a pair is our parameter and theirs."""
    assert_close(ours, theirs, off, "the loss")
    pairs: Sequence[tuple[Tensor, Tensor]] = [one if isinstance(one, tuple) else (one, one) for one in leaves]
    mine = torch.autograd.grad(ours, [pair[0] for pair in pairs], retain_graph=True)  # both losses may share a graph
    other = torch.autograd.grad(theirs, [pair[1] for pair in pairs])
    for number, (one, two) in enumerate(zip(mine, other, strict=True)):
        assert float(two.abs().max()) > 0, f"leaf {number} has no part in the loss: nothing is compared"
        assert_close(one / two.abs().max(), two / two.abs().max(), off, f"gradient of leaf {number}")


def set_(parameter: Tensor, value: float) -> Tensor:
    with torch.no_grad():
        parameter.fill_(value)
    return parameter


class TestAuthors:
    """The authors' code of Deep InfoMax, written as loops because it is not a package."""

    @pytest.fixture
    def features(self) -> tuple[Tensor, Tensor]:
        return leaf(5, D, 4, seed=0), leaf(5, D, 2, seed=1)  # locations and globals, (N, units, ...)

    def pairs(self, local: Tensor, global_: Tensor) -> tuple[Tensor, Tensor]:
        joint, marginal = [], []
        for i in range(len(global_)):
            for j in range(len(local)):
                (joint if i == j else marginal).append(global_[i].T @ local[j])
        return torch.stack(joint), torch.stack(marginal)

    @pytest.mark.parametrize(
        ("positive", "negative", "loss_fn"),
        [
            (lambda t: -nnf.softplus(-t), nnf.softplus, F.jsd_loss),
            (
                lambda t: math.log(2) - nnf.softplus(-t),
                lambda t: nnf.softplus(t) - math.log(2),
                lambda s: F.jsd_loss(s) - 2 * math.log(2),
            ),
            (lambda t: t + 1, torch.exp, lambda s: F.nwj_loss(s.shifted(1.0))),
            (lambda t: -(-t).exp(), lambda t: t - 1, lambda s: F.fdivergence_loss(s, "rkl")),
            (lambda t: 1 - (-t).exp(), lambda t: t.exp() - 1, lambda s: F.fdivergence_loss(s, "hellinger")),
            (lambda t: t, lambda t: t, F.wasserstein_loss),
        ],
        ids=["GAN", "JSD", "KL", "RKL", "H2", "W1"],
    )
    def test_measures(self, features, positive, negative, loss_fn) -> None:
        joint, marginal = self.pairs(*features)
        theirs = negative(marginal).mean() - positive(joint).mean()
        check_equal(loss_fn(F.dot_scores(*features)), theirs, *features)

    def test_donsker_varadhan(self, features) -> None:
        joint, marginal = self.pairs(*features)
        theirs = marginal.flatten().logsumexp(0) - math.log(marginal.numel()) - joint.mean()
        check_equal(F.dv_loss(F.dot_scores(*features)), theirs, *features)

    def test_infonce(self, features) -> None:
        """The authors' loss keeps a global's own locations among its negatives, each with a score of -10."""
        local, global_ = features
        terms = []
        for i in range(len(global_)):
            table = torch.stack([global_[i].T @ local[j] for j in range(len(local)) if j != i])  # (N - 1, Q, P)
            for own in (global_[i].T @ local[i]).T:  # scores of one location, (Q,)
                rows = [own[None], table.permute(0, 2, 1).flatten(0, 1), torch.full((4, 2), -10.0, dtype=own.dtype)]
                terms.append(torch.cat(rows).logsumexp(0) - own)
        theirs = torch.cat(terms).mean()
        check_equal(F.infonce_loss(F.dot_scores(*features)), theirs, *features, off=1e-3)


class TestTorchMist:
    """Each x is a query for its y; the critic is an inner product divided by a temperature."""

    @pytest.fixture
    def critic(self) -> nn.Module:
        return peer("torch_mist.critic").SeparableCritic(temperature=2.0)

    @pytest.mark.parametrize(
        ("name", "negatives", "estimate"),
        [
            ("InfoNCE", 0, F.infonce_estimate),
            ("NWJ", -1, F.nwj_estimate),
            ("SMILE", -1, F.smile_estimate),
        ],
    )
    def test_estimates(self, critic, name, negatives, estimate) -> None:
        x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
        theirs = getattr(peer("torch_mist.estimators"), name)(critic, neg_samples=negatives).mutual_information(x, y)
        check_equal(estimate(F.dot_scores(y, x, scale=0.5)), theirs, x, y)

    def test_jensen_shannon(self, critic) -> None:
        """torch_mist keeps the joint pair among the negatives of each row, so our loss is a little lower."""
        x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
        theirs = peer("torch_mist.estimators").JS(critic, neg_samples=-1).loss(x, y)
        scores = F.dot_scores(y, x, scale=0.5)
        own = nnf.softplus(scores.joint())
        joint = nnf.softplus(-scores.joint()).mean()
        check_equal(joint + ((N - 1) * (F.jsd_loss(scores) - joint) + own.mean()) / N, theirs, x, y)


class TestCrossEntropy:
    def test_of_cosines(self) -> None:
        query, key = leaf(N, D, seed=0), leaf(N, D, seed=1)
        logits = nnf.normalize(query) @ nnf.normalize(key).T / TEMPERATURE
        theirs = nnf.cross_entropy(logits, torch.arange(N))
        check_equal(InfoMaxLoss(D, D, critic=cosine, symmetric=False)(key, query), theirs, query, key)

    def test_of_inner_products(self) -> None:
        query, key = leaf(N, D, seed=0), leaf(N, D, seed=1)
        theirs = nnf.cross_entropy(query @ key.T / math.sqrt(D), torch.arange(N))
        check_equal(F.infonce_loss(F.dot_scores(key, query, scale=D**-0.5)), theirs, query, key)

    def test_with_label_of_a_row_of_maps(self) -> None:
        """Every location is paired with the global of its image; all locations of the other images are negatives."""
        local, global_ = leaf(4, D, 3, seed=0), leaf(4, D, seed=1)
        table = torch.einsum("id,jdp->ijp", global_, local) * D**-0.5
        terms = []
        for i in range(4):
            others = torch.cat([table[i, j] for j in range(4) if j != i])
            rows = torch.cat([table[i, i][:, None], others.expand(3, -1)], 1)
            terms.append(nnf.cross_entropy(rows, torch.zeros(3, dtype=torch.long)))
        ours = F.infonce_loss(F.dot_scores(local, global_, scale=D**-0.5))
        check_equal(ours, torch.stack(terms).mean(), local, global_)


class TestTwoViews:
    """NT-Xent over 2N views, from three libraries."""

    @pytest.fixture
    def ours(self) -> InfoMaxLoss:
        return InfoMaxLoss(D, D, critic=cosine, same_side=True)

    def test_written_out(self, ours: InfoMaxLoss) -> None:
        u, v = leaf(N, D, seed=0), leaf(N, D, seed=1)
        views = nnf.normalize(torch.cat([u, v]))
        logits = (views @ views.T / TEMPERATURE).fill_diagonal_(-math.inf)
        check_equal(ours(u, v), nnf.cross_entropy(logits, torch.arange(2 * N).roll(N)), u, v)

    def test_lightly(self, ours: InfoMaxLoss) -> None:
        u, v = leaf(N, D, seed=0), leaf(N, D, seed=1)
        check_equal(ours(u, v), peer("lightly.loss").NTXentLoss(temperature=TEMPERATURE)(u, v), u, v)

    def test_pytorch_metric_learning(self, ours: InfoMaxLoss) -> None:
        losses = peer("pytorch_metric_learning.losses")
        u, v = leaf(N, D, seed=0), leaf(N, D, seed=1)
        theirs = losses.NTXentLoss(temperature=TEMPERATURE)
        check_equal(ours(u, v), losses.SelfSupervisedLoss(theirs)(u, v), u, v)
        labels = torch.arange(N).repeat(2)
        check_equal(ours(u, v), theirs(torch.cat([u, v]), labels), u, v)
        one_way = InfoMaxLoss(D, D, critic=cosine, symmetric=False)
        check_equal(one_way(v, u), losses.SelfSupervisedLoss(theirs, symmetric=False)(u, v), u, v)

    def test_grouped_rows_of_pytorch_metric_learning(self) -> None:
        """Negatives are the rows with another label, in pytorch-metric-learning by indices and here by ``group``."""
        losses = peer("pytorch_metric_learning.losses")
        u, v = leaf(N, D, seed=0), leaf(N, D, seed=1)
        label = torch.arange(N) % 4
        own = torch.arange(N)
        a, n = (label[:, None] != label[None]).nonzero(as_tuple=True)
        theirs = losses.NTXentLoss(temperature=TEMPERATURE)(u, indices_tuple=(own, own, a, n), ref_emb=v)
        check_equal(InfoMaxLoss(D, D, critic=cosine, symmetric=False)(v, u, group=label), theirs, u, v)

    def test_a_memory_bank_of_lightly(self) -> None:
        loss = peer("lightly.loss").NTXentLoss(temperature=TEMPERATURE, memory_bank_size=(32, D))
        loss = loss.double()
        query, key = leaf(N, D, seed=0), leaf(N, D, seed=1)
        bank = loss.memory_bank.bank.clone()
        ours = InfoMaxLoss(D, D, critic=cosine, symmetric=False, in_batch=False)
        check_equal(
            ours(key, query, negatives=bank), loss(query, key), query, key, off=1e-6
        )  # lightly normalises the bank in float32


class TestTwoTowers:
    """The losses of open_clip expect rows of unit length; ours accept rows of any length."""

    def test_clip(self) -> None:
        theirs = peer("open_clip.loss").ClipLoss()
        x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
        scale = torch.tensor(math.log(1 / 0.05), dtype=torch.float64, requires_grad=True)
        ours = InfoMaxLoss(D, D, critic=learned, dtype=torch.float64)
        log_value = set_(ours.critic.learned_scale.log_value, scale.item())
        expected = theirs(nnf.normalize(x), nnf.normalize(y), scale.exp())
        check_equal(ours(x, y), expected, x, y, (log_value, scale))

    def test_siglip(self) -> None:
        theirs = peer("open_clip.loss").SigLipLoss()
        x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
        scale = torch.tensor(math.log(10.0), dtype=torch.float64, requires_grad=True)
        bias = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
        ours = InfoMaxLoss(D, D, critic=partial(learned, bias=-10.0), estimator="logistic", dtype=torch.float64)
        log_value = set_(ours.critic.learned_scale.log_value, scale.item())
        expected = theirs(nnf.normalize(x), nnf.normalize(y), scale.exp(), bias)
        check_equal(ours(x, y), expected, x, y, (log_value, scale), (ours.critic.bias, bias))


class TestInfoNCEPytorch:
    @pytest.fixture
    def ours(self) -> InfoMaxLoss:
        return InfoMaxLoss(D, D, critic=cosine, symmetric=False, in_batch=False)

    def test_without_negatives(self) -> None:
        query, positive = leaf(N, D, seed=0), leaf(N, D, seed=1)
        theirs = peer("info_nce").InfoNCE(temperature=TEMPERATURE)(query, positive)
        check_equal(InfoMaxLoss(D, D, critic=cosine, symmetric=False)(positive, query), theirs, query, positive)

    def test_negatives_of_all(self, ours: InfoMaxLoss) -> None:
        query, positive, negatives = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(5, D, seed=2)
        theirs = peer("info_nce").InfoNCE(temperature=TEMPERATURE, negative_mode="unpaired")
        found = ours(positive, query, negatives=negatives)
        check_equal(found, theirs(query, positive, negatives), query, positive, negatives)

    def test_negatives_of_each(self, ours: InfoMaxLoss) -> None:
        query, positive, negatives = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(N, 5, D, seed=2)
        theirs = peer("info_nce").InfoNCE(temperature=TEMPERATURE, negative_mode="paired")
        found = ours(positive, query, negatives=negatives)
        check_equal(found, theirs(query, positive, negatives), query, positive, negatives)


def test_deep_graph_infomax_of_torch_geometric() -> None:
    pyg = peer("torch_geometric.nn")
    theirs = pyg.DeepGraphInfomax(D, nn.Identity(), lambda z, *_: z.mean(0).sigmoid(), lambda z: z.flip(0)).double()
    ours = LocalDIMLoss(D, D, critic="bilinear", estimator="jsd", in_batch=False, dtype=torch.float64)
    with torch.no_grad():
        ours.critic.weight.weight.copy_(theirs.weight)
    nodes, corrupted = leaf(30, D, seed=0), leaf(30, D, seed=1)
    summary = nodes.mean(0).sigmoid()
    found = ours(nodes, summary[None], batch=torch.zeros(30, dtype=torch.long), negatives=corrupted)
    expected = theirs.loss(nodes, corrupted, summary)  # their logarithms add 1e-15 to the argument
    check_equal(found, expected, nodes, corrupted, (ours.critic.weight.weight, theirs.weight))


def test_the_comparison_sees_a_wrong_loss() -> None:
    u, v = leaf(N, D, seed=0), leaf(N, D, seed=1)
    w = leaf(2, 2, seed=3)
    one_way, both = InfoMaxLoss(D, D, critic=cosine, symmetric=False), InfoMaxLoss(D, D, critic=cosine)
    with pytest.raises(AssertionError, match="the loss"):
        check_equal(one_way(u, v), both(u, v), u, v)
    with pytest.raises(AssertionError, match="gradient of leaf 0"):
        check_equal(one_way(u, v), one_way(2 * u.detach() - u, v), u, v)  # same value, other gradient
    with pytest.raises(AssertionError, match="nothing is compared"):
        check_equal(one_way(u, v) + 0 * w.sum(), one_way(u, v) + 0 * w.sum(), w)
