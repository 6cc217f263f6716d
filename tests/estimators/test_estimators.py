"""Estimators as modules: names, options, state, copies; all obey one contract."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.modules import unchanged
from oracles import ORACLES
from tolerances import assert_close
from torch import Tensor, nn

import infomax
from infomax import (
    CLUB,
    MINE,
    NWJ,
    SMILE,
    TUBA,
    DonskerVaradhan,
    Estimator,
    FDivergence,
    InfoNCE,
    JensenShannon,
    LeaveOneOut,
    LocalDIMLoss,
    PairScores,
    ScoreRegularised,
    Wasserstein,
)
from infomax import functional as F
from infomax.estimators import build_estimator

MODULES: list[Estimator] = [
    InfoNCE(),
    InfoNCE(anchor=0.5),
    JensenShannon(),
    JensenShannon(read="nwj"),
    DonskerVaradhan(),
    NWJ(),
    SMILE(),
    SMILE(clip=None),
    MINE(),
    MINE(rate=0.5),
    *(FDivergence(measure) for measure in ("kl", "rkl", "hellinger", "chi2", "gan")),
    TUBA(),
    TUBA(baseline="learned"),
    TUBA(alpha=0.3),
    TUBA(alpha=1.0, rate=1.0),
    Wasserstein(),
    CLUB(),
    LeaveOneOut(),
    ScoreRegularised(),
    ScoreRegularised("tuba", clip=1.0),
    ScoreRegularised(NWJ(), weight=0.0, clip=None),
    ScoreRegularised(clip=1.0, soft=False),
]


def table(seed: int = 0) -> Tensor:
    return randn(4, 2, 4, 3, seed=seed, dtype=torch.float32)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: "".join(repr(module).split()))
class TestContract:
    def test_a_scalar_loss_with_gradient_and_an_estimate_without(self, module: Estimator) -> None:
        original = module
        module = copy.deepcopy(module)
        scores = F.dense_scores(table().requires_grad_())
        loss, nats = module(scores), module.mutual_information(scores)
        assert loss.shape == nats.shape == ()
        assert loss.dtype == nats.dtype == torch.float32
        assert loss.requires_grad
        assert not nats.requires_grad
        with_gradient = module.estimate(scores)
        assert with_gradient.requires_grad, "an estimate can be minimised"
        assert with_gradient == nats

        for dtype, expected in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
            fresh = copy.deepcopy(original)
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

    def test_what_to_know_of_it(self, module: Estimator) -> None:
        learned = isinstance(module, TUBA) and module.baseline.kind == "learned"
        assert [name for name, _ in module.named_parameters()] == (["baseline.log_value"] if learned else [])
        assert type(module).__name__ in repr(module)
        assert module.bound in ("lower", "asymptotic", "upper", "none")
        assert module.bias
        assert module.variance


class TestMINE:
    def test_the_average_is_exponential_and_the_first_batch_counts_whole(self) -> None:
        mine, expected = MINE(rate=0.1), None
        for step in range(4):
            scores = F.dense_scores(table(step))
            partition = torch.cat([scores.table[i, j].flatten() for i, j in off_diagonal()]).exp().mean()
            expected = partition if expected is None else 0.9 * expected + 0.1 * partition
            mine(scores)
            assert_close(mine.average.value.exp(), expected, 1e-5, f"average after {step + 1} batches")

    def test_only_training_updates_it(self) -> None:
        mine = MINE(rate=0.1)
        mine(F.dense_scores(table()))
        mine.eval()
        with unchanged(mine):
            mine(F.dense_scores(table(1)))
        mine.train()
        before = mine.average.value.clone()
        mine(F.dense_scores(table(1)))
        assert mine.average.value != before

    def test_the_gradient_divides_by_the_average(self) -> None:
        """Compared with DV, the marginal term's gradient is multiplied by the batch's mean of e^T over the average."""
        mine = MINE(rate=0.25)
        mine(F.dense_scores(table()))
        scores = table(1).double().requires_grad_()
        mine.double()
        loss = mine(F.dense_scores(scores))
        (gradient,) = torch.autograd.grad(loss, scores)
        others = [scores[i, q, j] for i, j in example_pairs() for q in range(2)]
        partition = torch.cat(others).exp().mean()
        weighted = partition / mine.average.value.exp() - torch.stack([scores[i, :, i] for i in range(4)]).mean()
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
        assert other.average.value == -math.inf
        other.load_state_dict(mine.state_dict())
        assert other.average.value == mine.average.value


class TestTUBA:
    def test_the_average_comes_before_the_loss_and_after_the_estimate(self) -> None:
        """The estimate leaves its batch out of the average; the loss includes its batch, so that nothing overflows."""
        tuba, log_a = TUBA(rate=0.25).double(), 0.0
        for step in range(4):
            scores = F.dense_scores(table(step).double())
            assert_close(
                tuba.mutual_information(scores), F.tuba_estimate(scores, log_baseline=log_a), 1e-12, "estimate"
            )
            mean = torch.cat([scores.table[i, j].flatten() for i, j in off_diagonal()]).exp().mean()
            log_a = float(mean.log() if step == 0 else (0.75 * math.exp(log_a) + 0.25 * mean).log())
            assert_close(tuba(scores), F.tuba_loss(scores, log_baseline=log_a), 1e-12, "loss")
        tuba.eval()
        with unchanged(tuba):
            assert_close(tuba(scores), F.tuba_loss(scores, log_baseline=log_a), 1e-12, "loss in evaluation mode")

    def test_its_gradient_is_mines(self) -> None:
        tuba, mine = TUBA(rate=0.3).double(), MINE(rate=0.3).double()
        for step in range(3):
            gradients = []
            for estimator in (tuba, mine):
                leaf = table(step).double().requires_grad_()
                gradients += torch.autograd.grad(estimator(F.dense_scores(leaf)), leaf)
            assert_close(*gradients, 1e-12, "gradient")

    @pytest.mark.parametrize("alpha", [0.0, 0.2, 0.7])
    def test_the_average_settles_where_the_bound_of_a_batch_is_highest(self, alpha: float) -> None:
        tuba, scores = TUBA(alpha=alpha, rate=0.5).double(), F.dense_scores(3 * table().double())
        for _ in range(400):
            tuba(scores)
        log_a = tuba.baseline.read().requires_grad_()
        (slope,) = torch.autograd.grad(F.alpha_tuba_estimate(scores, alpha=alpha, log_baseline=log_a), log_a)
        assert_close(slope, torch.zeros(()).double(), 1e-9, "slope at the average")
        for away in (-1.0, 1.0):
            moved = F.alpha_tuba_estimate(scores, alpha=alpha, log_baseline=log_a.detach() + away)
            assert moved < F.alpha_tuba_estimate(scores, alpha=alpha, log_baseline=log_a.detach())

    def test_average_and_scores_do_not_chase_each_other(self) -> None:
        """If the average were the mean of e^T, a shift of all scores would grow without end, to 37 in 100 steps."""
        tuba, shift = TUBA(alpha=0.5), torch.zeros((), requires_grad=True)
        optimizer = torch.optim.SGD([shift], lr=1.0)
        for _ in range(100):
            x = torch.randn(16, 8)
            table_of = 2.0 * (x @ (x + 0.5 * torch.randn(16, 8)).T) - x.square().sum(1)[:, None]
            optimizer.zero_grad()
            tuba(F.dense_scores(table_of + shift)).backward()
            optimizer.step()
        assert shift.detach().abs() < 8.0

    def test_a_learned_baseline_is_a_parameter_of_the_loss_around_it(self) -> None:
        loss_fn = LocalDIMLoss(3, 2, estimator=TUBA(baseline="learned"), critic="bilinear")
        loss_fn(randn(4, 3, dtype=torch.float32), randn(4, 2, dtype=torch.float32)).backward()
        assert dict(loss_fn.named_parameters())["estimator.baseline.log_value"].grad

    def test_a_given_baseline_takes_its_place(self) -> None:
        log_a = randn(8, dtype=torch.float32)
        scores = F.dense_scores(table())
        for alpha, loss, estimate in (
            (0.0, F.tuba_loss, F.tuba_estimate),
            (0.3, F.alpha_tuba_loss, F.alpha_tuba_estimate),
        ):
            tuba, options = TUBA(alpha=alpha), {"alpha": alpha} if alpha else {}
            with unchanged(tuba):
                assert tuba(scores, log_baseline=log_a) == loss(scores, log_baseline=log_a, **options)
                nats = tuba.mutual_information(scores, log_baseline=log_a)
            assert nats == estimate(scores, log_baseline=log_a, **options)


class TestScoreRegularised:
    def test_it_adds_the_mean_square_of_what_it_clips(self) -> None:
        big = 10 * table().double()
        for name in ("infonce", "jsd", "dv", "nwj", "chi2"):
            for clip, soft in ((3.0, True), (3.0, False), (None, True)):
                options: dict[str, Any] = {"clip": clip, "soft": soft}
                leaf = big.clone().requires_grad_()
                other = big.clone().requires_grad_()
                found = ScoreRegularised(name, weight=0.1, **options)(F.dense_scores(leaf))
                inside = other
                if clip is not None:
                    inside = clip * (other / clip).tanh() if soft else other.clamp(-clip, clip)
                expected = build_estimator(name)(F.dense_scores(inside)) + 0.1 * other.square().mean()
                assert_close(found, expected, 1e-12, name)
                gradients = [torch.autograd.grad(value, x)[0] for value, x in ((found, leaf), (expected, other))]
                assert_close(*gradients, 1e-12, f"gradient of {name}")
                nats = ScoreRegularised(name, **options).mutual_information(F.dense_scores(big))
                assert_close(nats, build_estimator(name).mutual_information(F.dense_scores(inside)), 1e-12, name)

    def test_it_keeps_what_is_known_of_the_inner_one(self) -> None:
        for name in ("infonce", "smile", "club"):
            wrapped, inner = ScoreRegularised(name, clip=None), build_estimator(name)
            assert (wrapped.bound, wrapped.bias, wrapped.needs_density) == (
                inner.bound,
                inner.bias,
                inner.needs_density,
            )
        assert ScoreRegularised("club").bound == "none", "a clipped density is none"
        assert ScoreRegularised(Duck()).bound == "none"


def off_diagonal() -> list[tuple[slice, slice]]:
    """Return the blocks of the (N Q, N P) table that pair different examples, for N = 4, Q = 2, P = 3."""
    return [(slice(2 * i, 2 * i + 2), slice(3 * j, 3 * j + 3)) for i, j in example_pairs()]


def example_pairs() -> list[tuple[int, int]]:
    return [(i, j) for i in range(4) for j in range(4) if i != j]


class TestNames:
    @pytest.mark.parametrize("name", ORACLES)
    def test_every_short_name_of_the_contract(self, name: str) -> None:
        assert isinstance(build_estimator(name), Estimator)

    def test_a_module_is_taken_as_it_is(self) -> None:
        module = NWJ()
        assert build_estimator(module) is module

    def test_public_names(self) -> None:
        for module in MODULES:
            assert getattr(infomax, type(module).__name__) is type(module)

    @pytest.mark.parametrize(
        ("build", "error", "message"),
        [
            (lambda: build_estimator("infonec"), ValueError, r"estimator must be one of .*infonce.*got 'infonec'"),
            (lambda: build_estimator(3), TypeError, "estimator must be a short name, a module, or a callable.*got int"),
            (lambda: build_estimator(lambda: 3), TypeError, "got function, which returned int"),
            (lambda: build_estimator(nn.Identity()), TypeError, r"must offer mutual_information.*Identity does not"),
            (lambda: FDivergence("kll"), ValueError, r"measure must be one of .*hellinger.*got 'kll'"),
            (lambda: FDivergence(["kl"]), TypeError, r"measure must be one of .*got list"),
            (lambda: F.fdivergence_loss(F.dense_scores(table()), "x"), ValueError, "measure must be one of"),
            (lambda: F.fdivergence_estimate(F.dense_scores(table()), "x"), ValueError, "measure must be one of"),
            (lambda: SMILE(clip=0.0), ValueError, "clip must be positive, got 0.0"),
            (lambda: SMILE(clip="5"), TypeError, "clip must be a number, got str"),
            (lambda: SMILE(clip=math.nan), ValueError, "clip must be finite, got nan"),
            (lambda: MINE(rate=0.0), ValueError, "rate must be positive, got 0.0"),
            (lambda: MINE(rate=1.5), ValueError, r"rate must be in \(0, 1\], got 1.5"),
            (lambda: MINE(rate="0.1"), TypeError, "rate must be a number, got str"),
            (lambda: TUBA(alpha=-0.1), ValueError, r"alpha must be in \[0, 1\], .*got -0.1"),
            (lambda: TUBA(baseline="ema"), ValueError, "baseline must be one of average, learned, got 'ema'"),
            (lambda: JensenShannon(read="smile"), ValueError, "read must be one of dv, nwj, got 'smile'"),
            (lambda: ScoreRegularised(weight=-1.0), ValueError, "weight must be at least 0, got -1.0"),
            (lambda: ScoreRegularised(weight="1"), TypeError, "weight must be a number, got str"),
            (lambda: ScoreRegularised(clip=-1.0), ValueError, "clip must be positive, got -1.0"),
            (lambda: ScoreRegularised(clip=math.inf), ValueError, "clip must be finite, got inf"),
            (lambda: ScoreRegularised("nwjj"), ValueError, "estimator must be one of"),
        ],
    )
    def test_refusals(self, build: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            build()


class Hinge(Estimator):
    """A user's estimator: the mean square of the marginal scores minus the mean joint score."""

    bound = "none"

    def forward(self, scores: PairScores) -> Tensor:
        joint, squares = scores.reduce("square_sum")
        return squares.sum() / scores.count().sum() - joint.mean()

    def estimate(self, scores: PairScores) -> Tensor:
        return F.dv_estimate(scores)


class Duck(nn.Module):
    """A module that is not an `Estimator` but has its two methods."""

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
