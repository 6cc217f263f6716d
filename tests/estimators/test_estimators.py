"""Estimators as modules: names, options, state, copies; one contract for all of them."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from contracts import randn, unchanged
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor, nn

import infomax
from infomax import (
    MINE,
    NWJ,
    SMILE,
    DonskerVaradhan,
    Estimator,
    FDivergence,
    InfoNCE,
    JensenShannon,
    LocalDIMLoss,
    PairScores,
)
from infomax import functional as F
from infomax.estimators import build_estimator

MODULES: list[Estimator] = [
    InfoNCE(),
    JensenShannon(),
    JensenShannon(clip=2.0),
    DonskerVaradhan(),
    NWJ(),
    NWJ(clip=2.0),
    SMILE(),
    SMILE(clip=None),
    MINE(),
    MINE(rate=0.5),
    *(FDivergence(measure) for measure in ("kl", "rkl", "hellinger", "chi2", "gan")),
    FDivergence("rkl", clip=1.0),
]


def table(seed: int = 0) -> Tensor:
    return randn(4, 2, 4, 3, seed=seed, dtype=torch.float32)


@pytest.mark.parametrize("module", MODULES, ids=repr)
class TestContract:
    def test_a_scalar_loss_with_gradient_and_an_estimate_without(self, module: Estimator) -> None:
        module = copy.deepcopy(module)
        scores = F.dense_scores(table().requires_grad_())
        loss, nats = module(scores), module.mutual_information(scores)
        assert loss.shape == nats.shape == ()
        assert loss.dtype == nats.dtype == torch.float32
        assert loss.requires_grad
        assert not nats.requires_grad

    def test_dtypes(self, module: Estimator) -> None:
        for dtype, expected in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
            fresh = copy.deepcopy(module)
            scores = F.dense_scores(table().to(dtype))
            assert fresh(scores).dtype == expected
            assert fresh.mutual_information(scores).dtype == expected

    def test_copies(self, module: Estimator) -> None:
        module = copy.deepcopy(module)
        module(F.dense_scores(table()))
        fresh = copy.deepcopy(module)
        fresh.load_state_dict(module.state_dict())
        copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh]
        scores = F.dense_scores(table(1))
        expected, nats = copy.deepcopy(module)(scores), module.mutual_information(scores)
        for other in copies:
            assert other.mutual_information(scores) == nats
            assert other(scores) == expected

    def test_measuring_changes_nothing(self, module: Estimator) -> None:
        module = copy.deepcopy(module)
        for mode in (True, False):
            module.train(mode)
            with unchanged(module):
                module.mutual_information(F.dense_scores(table()))
        with torch.inference_mode():
            assert module.mutual_information(F.dense_scores(table())).isfinite()

    def test_no_parameters_and_options_in_its_name(self, module: Estimator) -> None:
        assert not list(module.parameters())
        assert module.bound in ("lower", "none")
        assert type(module).__name__ in repr(module)


class TestMINE:
    def test_the_average_is_exponential_and_the_first_batch_counts_whole(self) -> None:
        mine, expected = MINE(rate=0.1), None
        for step in range(4):
            scores = F.dense_scores(table(step))
            partition = torch.cat([scores.table[i, j].flatten() for i, j in off_diagonal()]).exp().mean()
            expected = partition if expected is None else 0.9 * expected + 0.1 * partition
            mine(scores)
            assert_close(mine.log_average.exp(), expected, 1e-5, f"average after {step + 1} batches")

    def test_only_training_updates_it(self) -> None:
        mine = MINE(rate=0.1)
        mine(F.dense_scores(table()))
        mine.eval()
        with unchanged(mine):
            mine(F.dense_scores(table(1)))
        mine.train()
        before = mine.log_average.clone()
        mine(F.dense_scores(table(1)))
        assert mine.log_average != before

    def test_the_gradient_divides_by_the_average(self) -> None:
        """A second batch of larger scores weighs as much more as its mean of e^T exceeds the average."""
        mine = MINE(rate=0.25)
        mine(F.dense_scores(table()))
        scores = table(1).double().requires_grad_()
        mine.double()
        loss = mine(F.dense_scores(scores))
        (gradient,) = torch.autograd.grad(loss, scores)
        others = [scores[i, q, j] for i, j in example_pairs() for q in range(2)]
        partition = torch.cat(others).exp().mean()
        weighted = partition / mine.log_average.exp() - torch.stack([scores[i, :, i] for i in range(4)]).mean()
        (expected,) = torch.autograd.grad(weighted, scores)
        assert_close(gradient, expected, 1e-6, "gradient")
        assert_close(loss, F.dv_loss(F.dense_scores(scores)), 1e-12, "value")

    def test_a_rate_of_one_is_donsker_varadhan(self) -> None:
        mine = MINE(rate=1.0).double()
        for seed in (0, 1):
            gradients = []
            for estimator in (mine, DonskerVaradhan()):
                scores = table(seed).double().requires_grad_()
                gradients += torch.autograd.grad(estimator(F.dense_scores(scores)), scores)
            assert_close(*gradients, 1e-12, "gradient")

    def test_its_average_travels_in_the_state_dict(self) -> None:
        mine = MINE()
        mine(F.dense_scores(table()))
        other = MINE()
        assert other.log_average == -math.inf
        other.load_state_dict(mine.state_dict())
        assert other.log_average == mine.log_average


def off_diagonal() -> list[tuple[slice, slice]]:
    """Blocks of the (N Q, N P) table of different examples, N = 4, Q = 2, P = 3."""
    return [(slice(2 * i, 2 * i + 2), slice(3 * j, 3 * j + 3)) for i, j in example_pairs()]


def example_pairs() -> list[tuple[int, int]]:
    return [(i, j) for i in range(4) for j in range(4) if i != j]


class TestNames:
    @pytest.mark.parametrize("name", ORACLES)
    def test_every_short_name_of_the_contract(self, name: str) -> None:
        assert isinstance(build_estimator(name), Estimator)

    def test_a_module_is_taken_as_it_is(self) -> None:
        module = NWJ(clip=3.0)
        assert build_estimator(module) is module

    def test_public_names(self) -> None:
        for module in MODULES:
            assert getattr(infomax, type(module).__name__) is type(module)

    @pytest.mark.parametrize(
        ("build", "error", "message"),
        [
            (lambda: build_estimator("infonec"), ValueError, r"estimator must be one of .*infonce.*got 'infonec'"),
            (lambda: build_estimator(3), TypeError, "estimator must be a short name or a module, got int"),
            (lambda: build_estimator(InfoNCE), TypeError, "estimator must be a short name or a module"),
            (lambda: build_estimator(nn.Identity()), TypeError, r"must offer mutual_information.*Identity does not"),
            (lambda: FDivergence("kll"), ValueError, r"measure must be one of .*hellinger.*got 'kll'"),
            (lambda: FDivergence(["kl"]), TypeError, r"measure must be one of .*got list"),
            (lambda: F.fdivergence_loss(F.dense_scores(table()), "x"), ValueError, "measure must be one of"),
            (lambda: F.fdivergence_estimate(F.dense_scores(table()), "x"), ValueError, "measure must be one of"),
            (lambda: NWJ(clip=0.0), ValueError, "clip must be positive or None, got 0.0"),
            (lambda: JensenShannon(clip=-2), ValueError, "clip must be positive or None, got -2"),
            (lambda: SMILE(clip="5"), TypeError, "clip must be a number, got str"),
            (lambda: FDivergence("kl", clip=math.nan), ValueError, "clip must be positive or None, got nan"),
            (lambda: MINE(rate=0.0), ValueError, r"rate must be in \(0, 1\], got 0.0"),
            (lambda: MINE(rate=1.5), ValueError, r"rate must be in \(0, 1\], got 1.5"),
            (lambda: MINE(rate="0.1"), TypeError, "rate must be a number, got str"),
        ],
    )
    def test_refusals(self, build: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            build()


class Hinge(Estimator):
    """A user's own: hinge losses on both kinds of pairs, of sums that PairScores offers."""

    bound = "none"

    def forward(self, scores: PairScores) -> Tensor:
        joint, squares = scores.reduce("square_sum")
        return squares.sum() / scores.count().sum() - joint.mean()

    def _estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


class Duck(nn.Module):
    """No subclass of ours, but it offers both methods."""

    def forward(self, scores: PairScores) -> Tensor:
        return F.infonce_loss(scores)

    def mutual_information(self, scores: PairScores) -> Tensor:
        return F.infonce_estimate(scores)


@pytest.mark.parametrize("estimator", [Hinge(), Duck()], ids=["subclass", "duck"])
def test_an_estimator_of_your_own(estimator: nn.Module) -> None:
    loss_fn = LocalDIMLoss(3, 2, estimator=estimator, critic="bilinear")
    local, global_ = randn(4, 3, 2, dtype=torch.float32), randn(4, 2, dtype=torch.float32)
    loss_fn(local, global_).backward()
    assert all(p.grad is not None and p.grad.any() for p in loss_fn.parameters())
    nats = loss_fn.mutual_information(local, global_)
    assert nats.isfinite()
    assert not nats.requires_grad
