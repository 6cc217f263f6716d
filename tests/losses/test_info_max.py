"""Two vectors per example: the losses of CLIP, SigLIP and SimCLR written out, and both directions of all others."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.limits import check_no_table_larger_than
from tolerances import assert_close
from torch import Tensor
from torch.nn import functional as nnf

from infomax import CosineCritic, InfoMaxLoss
from infomax import functional as F
from infomax.estimators import build_estimator
from infomax.ops import use_workspace

N, D = 7, 5
bare = partial(CosineCritic, units=None)
OWN = {"symmetric": False, "in_batch": False}


def vectors(n: int = N) -> tuple[Tensor, Tensor]:
    return randn(n, D).requires_grad_(), randn(n, D, seed=1).requires_grad_()


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return nnf.normalize(x) @ nnf.normalize(y).T


def clip(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    logits, target = cosines(x, y) / temperature, torch.arange(len(x))
    return (nnf.cross_entropy(logits, target) + nnf.cross_entropy(logits.T, target)) / 2


def siglip(x: Tensor, y: Tensor, temperature: float, bias: float) -> Tensor:
    sign = 2 * torch.eye(len(x), dtype=x.dtype) - 1
    return -nnf.logsigmoid(sign * (cosines(x, y) / temperature + bias)).sum() / len(x)


def nt_xent(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    views = torch.cat([x, y])
    logits = (cosines(views, views) / temperature).masked_fill(torch.eye(len(views), dtype=torch.bool), -math.inf)
    return nnf.cross_entropy(logits, torch.arange(len(views)).roll(len(x)))


WRITTEN_OUT: dict[str, tuple[dict[str, Any], Any]] = {
    "CLIP": ({"critic": partial(bare, temperature="learned")}, partial(clip, temperature=0.07)),
    "SigLIP": (
        {"critic": partial(bare, temperature="learned", bias=-10.0), "estimator": "logistic"},
        partial(siglip, temperature=0.07, bias=-10.0),
    ),
    "NT-Xent": ({"critic": partial(bare, temperature=0.5), "same_side": True}, partial(nt_xent, temperature=0.5)),
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_the_losses_people_write_out(name: str) -> None:
    options, written_out = WRITTEN_OUT[name]
    x, y = vectors()
    loss = InfoMaxLoss(D, D, dtype=torch.float64, **options)
    found = torch.autograd.grad(loss(x, y), (x, y))
    expected = torch.autograd.grad(written_out(x, y), (x, y))
    assert_close(loss(x, y), written_out(x, y), 1e-7, name)  # the initial temperature is a float32 number
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-6, f"gradient of {name}")


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_no_table_of_scores_is_held(name: str) -> None:
    x, y = (part.detach().float().requires_grad_() for part in vectors(256))
    loss = InfoMaxLoss(D, D, **WRITTEN_OUT[name][0])
    with use_workspace(2**16):
        check_no_table_larger_than(2**14, lambda: loss(x, y))


def test_temperature_and_bias_learn() -> None:
    loss = InfoMaxLoss(D, D, critic=partial(bare, temperature="learned", bias=-10.0), estimator="logistic")
    loss(*(part.detach().float() for part in vectors())).backward()
    gradients = {name: parameter.grad for name, parameter in loss.named_parameters()}
    assert set(gradients) == {"critic.learned_scale.log_value", "critic.bias"}
    assert all(gradient is not None and gradient.abs() > 0 for gradient in gradients.values())


@pytest.mark.parametrize("critic", ["cosine", "dot", "bilinear", "concat"])
@pytest.mark.parametrize("estimator", ["infonce", "jsd", "dv"])
def test_symmetric_is_the_mean_of_both_directions(critic: str, estimator: str) -> None:
    torch.manual_seed(0)
    loss = InfoMaxLoss(D, D, critic=critic, estimator=estimator, dtype=torch.float64).eval()
    x, y = (part.detach() for part in vectors())
    with torch.no_grad():
        scores = loss.scores(x, y)
        table = torch.stack([loss.critic.score_rows(x, y[[i]].expand(N, D), scores.pairing).joint() for i in range(N)])
    made = build_estimator(estimator)
    expected = (made(F.dense_scores(table)) + made(F.dense_scores(table.T))) / 2
    assert_close(loss(x, y), expected, 1e-9)
    nats = (made.mutual_information(F.dense_scores(table)) + made.mutual_information(F.dense_scores(table.T))) / 2
    assert_close(loss.mutual_information(x, y), nats, 1e-9)
    one_way = InfoMaxLoss(D, D, critic=loss.critic, estimator=estimator, symmetric=False, dtype=torch.float64).eval()
    assert_close(one_way(x, y), made(F.dense_scores(table)), 1e-9)


def test_both_directions_come_from_one_table() -> None:
    """The backward pass keeps the scores of one table, not of two."""
    x, y = torch.randn(512, D, requires_grad=True), torch.randn(512, D, requires_grad=True)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        InfoMaxLoss(D, D)(x, y)
    assert [count for count in kept if count >= 512 * 512] == [512 * 512]


def test_a_queue_of_negatives() -> None:
    """MoCo: a query, its key, and a queue of past keys as negatives."""
    x, y = vectors()
    queue = randn(20, D, seed=3)
    loss = InfoMaxLoss(
        D, D, critic=partial(bare, temperature=0.2), symmetric=False, in_batch=False, dtype=torch.float64
    )
    logits = torch.cat([(nnf.normalize(y) * nnf.normalize(x)).sum(1, keepdim=True), cosines(y, queue)], 1) / 0.2
    expected = nnf.cross_entropy(logits, torch.zeros(N, dtype=torch.long))
    assert_close(loss(x, y, negatives=queue), expected, 1e-12)
    assert_close(loss(x[:1], y[:1], negatives=queue), nnf.cross_entropy(logits[:1], torch.zeros(1).long()), 1e-12)


@pytest.mark.parametrize("estimator", ["infonce", "jsd", "dv", "nwj"])
@pytest.mark.parametrize("critic", ["cosine", "dot", "bilinear", "concat"])
def test_negatives_of_each_alone(critic: str, estimator: str) -> None:
    """Each y has its own negatives, such as a corrupted node or hard negatives.

    The expected scores come from the critic, one pair at a time.
    """
    torch.manual_seed(0)
    units = None if critic == "bilinear" else 8
    loss = InfoMaxLoss(
        D, 4, critic=critic, estimator=estimator, units=units, symmetric=False, in_batch=False, dtype=torch.float64
    ).eval()
    x, y, own = randn(N, D), randn(N, 4, seed=1), randn(N, 3, D, seed=2)
    aligned = torch.stack([loss.critic(rows, y).joint() for rows in (x, *own.unbind(1))], 1)
    expected = build_estimator(estimator)(F.paired_scores(aligned[:, 0], aligned[:, 1:]))
    assert_close(loss(x, y, negatives=own), expected, 1e-9)
    nats = loss.estimator.mutual_information(F.paired_scores(aligned[:, 0], aligned[:, 1:]))
    assert_close(loss.mutual_information(x, y, negatives=own), nats, 1e-9)
    assert torch.isfinite(loss(x[:1], y[:1], negatives=own[:1]))


def test_negatives_of_each_alone_written_out() -> None:
    x, y = vectors()
    own = randn(N, 3, D, seed=2).requires_grad_()
    loss = InfoMaxLoss(
        D,
        D,
        critic=partial(bare, temperature=0.2),
        symmetric=False,
        in_batch=False,
        reduction="none",
        dtype=torch.float64,
    )
    keys = torch.cat([x[:, None], own], 1)
    logits = torch.einsum("nd,nkd->nk", nnf.normalize(y), nnf.normalize(keys, dim=2)) / 0.2
    expected = nnf.cross_entropy(logits, torch.zeros(N, dtype=torch.long), reduction="none")
    found = loss(x, y, negatives=own)
    assert_close(found, expected, 1e-12)
    for one, other in zip(
        torch.autograd.grad(found.sum(), (x, y, own)), torch.autograd.grad(expected.sum(), (x, y, own)), strict=True
    ):
        assert_close(one, other, 1e-11)


@pytest.mark.parametrize("same_side", [False, True])
def test_a_group_is_left_out_on_either_side(same_side: bool) -> None:
    group = torch.tensor([4, 4, 9, 2, 9, 4, 7])
    x, y = (part.detach() for part in vectors())
    loss = InfoMaxLoss(D, D, critic=partial(bare, temperature=0.5), same_side=same_side, dtype=torch.float64)
    views = torch.cat([x, y]) if same_side else None
    terms = []
    for mine, other in ((y, x), (x, y)):
        for i in range(N):
            keys, groups = (other, group) if views is None else (views, torch.cat([group, group]))
            scores = cosines(mine[[i]], keys)[0] / 0.5
            joint = cosines(mine[[i]], other[[i]])[0, 0] / 0.5
            terms.append(torch.cat([joint[None], scores[groups != group[i]]]).logsumexp(0) - joint)
    assert_close(loss(x, y, group=group), torch.stack(terms).mean(), 1e-12)


def test_a_value_per_example() -> None:
    x, y = vectors()
    loss = InfoMaxLoss(D, D, critic=partial(bare, temperature=0.1), reduction="none", dtype=torch.float64)
    assert loss(x, y).shape == (N,)
    assert_close(loss(x, y).mean(), clip(x, y, 0.1), 1e-9)


@pytest.mark.parametrize(
    ("options", "call", "error", "message"),
    [
        (
            {"same_side": True, "y_dim": 3},
            {},
            ValueError,
            "same_side must be False where x_dim and y_dim differ, got 5",
        ),
        ({"symmetric": True, "in_batch": False}, {}, ValueError, "symmetric must be False with in_batch=False"),
        ({"critic": bare, "y_dim": 3}, {}, ValueError, "units must be given where local_dim and global_dim differ"),
        (
            {},
            {"y": torch.zeros(3, D)},
            ValueError,
            r"x and y must hold the same examples, got batch sizes 7 from .* and 3 from \(3, 5\)",
        ),
        ({}, {"y": torch.zeros(N, D, 2)}, ValueError, r"y must have shape \(N, channels\), got \(7, 5, 2\)"),
        ({}, {"negatives": torch.zeros(3, D)}, ValueError, "negatives must be None with symmetric=True"),
        ({}, {"group": torch.zeros(N)}, TypeError, "group must be a tensor of integers, got torch.float32"),
        ({}, {"group": torch.zeros(N).long()}, ValueError, "group must hold at least two groups among"),
        (
            {},
            {"group": torch.zeros(3).long()},
            ValueError,
            r"group must have one integer per example, \(7,\), got \(3,\)",
        ),
        ({"symmetric": False, "in_batch": False}, {}, ValueError, "negatives must be given with in_batch=False"),
        (
            {"symmetric": False},
            {"negatives": torch.zeros(N, 2, D)},
            ValueError,
            r"negatives must not be \(N, M, x_dim\), got \(7, 2, 5\), with in_batch=True: .*in_batch=False",
        ),
        (OWN, {"negatives": torch.zeros(N, D, 2)}, ValueError, r"\(7, M, 5\), M rows of x for each y, got \(7, 5, 2\)"),
        (OWN, {"negatives": torch.zeros(3, 2, D)}, ValueError, r"\(7, M, 5\).*got \(3, 2, 5\); rows that all y share"),
        (OWN, {"negatives": torch.zeros(N, 0, D)}, ValueError, r"\(7, M, 5\).*got \(7, 0, 5\)"),
        (OWN, {"negatives": torch.zeros(N, 2, D).double()}, TypeError, "negatives must have the dtype of x, .*float64"),
        (
            {**OWN, "x_dim": 3},
            {"negatives": torch.zeros(N, 2, D)},
            ValueError,
            "x must have 3 channels, the local_dim of this critic, got 5",
        ),
        (OWN, {"negatives": torch.zeros(N, 2, D).long()}, TypeError, "negatives must have a real floating dtype"),
        (
            OWN,
            {"negatives": torch.zeros(N, 2, D), "group": torch.arange(N)},
            ValueError,
            r"negatives must not be .*with group",
        ),
        (
            {**OWN, "gather": True},
            {"negatives": torch.zeros(N, 2, D)},
            ValueError,
            r"negatives must not be .*with gather=True",
        ),
    ],
)
def test_refusals(options: dict[str, Any], call: dict[str, Any], error: type[Exception], message: str) -> None:
    options = {"x_dim": D, "y_dim": D, **options}
    with pytest.raises(error, match=message):
        InfoMaxLoss(**options)(torch.randn(N, D), **{"y": torch.randn(N, options["y_dim"]), **call})
