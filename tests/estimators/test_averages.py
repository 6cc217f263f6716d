"""The moving averages of MINE and TUBA: far from the mean of the batch, in cast modules, saved and loaded."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial

import oracles
import pytest
import score_tables
import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

from infomax import MINE, TUBA, Estimator, LocalDIMLoss
from infomax import functional as F


def mine(table: Tensor, log_average: float) -> tuple[Tensor, Tensor]:
    table = table.clone().requires_grad_()
    loss = F.mine_loss(F.dense_scores(table), torch.tensor(log_average, dtype=table.dtype))
    (gradient,) = torch.autograd.grad(loss, table)
    return loss.detach(), gradient


@pytest.mark.parametrize("jump", [88.0, 89.5, 300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mean_that_has_jumped_far_above_its_average(jump: float, dtype: torch.dtype) -> None:
    """A weight of e^88 would overflow float32 and give inf - inf, so weights are limited to e^44."""
    table = randn(5, 5, dtype=dtype)
    loss, gradient = mine(table + jump, 0.0)
    assert_close(loss, F.dv_loss(F.dense_scores(table.double())), 1e-4 if dtype == torch.float32 else 1e-10, "value")
    share = torch.softmax(table.double().masked_fill(torch.eye(5, dtype=torch.bool), -math.inf).flatten(), 0)
    expected = math.exp(44) * share.view(5, 5) - torch.eye(5).double() / 5
    assert gradient.isfinite().all()
    assert_close(gradient.double() / math.exp(44), expected / math.exp(44), 1e-4, "gradient with the largest weight")


@pytest.mark.parametrize("log_average", [-40.0, -3.0, 0.4, 60.0])
def test_below_the_bound_the_gradient_is_the_formula(log_average: float) -> None:
    table = randn(4, 2, 4, 3)
    loss, gradient = mine(table, log_average)
    assert_close(loss, oracles.dv_loss(score_tables.pairs_of(table.numpy())).real, 1e-12, "value")
    _, expected = score_tables.value_and_gradient(
        partial(oracles.mine_surrogate, log_average=log_average), table.numpy()
    )
    assert_close(gradient, expected, 1e-12, "gradient")


def test_mine_trains_through_a_jump() -> None:
    """The average comes from scores around 0; then a batch has scores around 200."""
    estimator = MINE(rate=1e-9)
    estimator(F.dense_scores(randn(5, 5, dtype=torch.float32)))
    table = (200 + randn(5, 5, dtype=torch.float32)).requires_grad_()
    loss = estimator(F.dense_scores(table))
    loss.backward()
    assert loss.isfinite()
    assert table.grad is not None
    assert table.grad.isfinite().all()
    assert estimator.average.value.isfinite()


AVERAGES: dict[str, tuple[Callable[[], Estimator], str]] = {
    "mine": (lambda: MINE(rate=0.5), "average.value"),
    "tuba": (lambda: TUBA(rate=0.5), "baseline.average.value"),
    "alpha_tuba": (lambda: TUBA(alpha=0.3, rate=0.5), "baseline.average.value"),
}
by_average = pytest.mark.parametrize("name", AVERAGES)


def trained(name: str) -> tuple[Estimator, Tensor]:
    build, buffer = AVERAGES[name]
    estimator = build()
    for seed in (0, 1):
        estimator(F.dense_scores(3 * randn(5, 5, seed=seed, dtype=torch.float32)))
    return estimator, estimator.get_buffer(buffer).clone()


@by_average
@pytest.mark.parametrize("cast", [nn.Module.half, nn.Module.bfloat16, lambda m: m.to("cpu", torch.bfloat16)])
def test_an_average_stays_in_float32_when_its_module_is_cast(name: str, cast: Callable[[nn.Module], object]) -> None:
    estimator, average = trained(name)
    assert average != average.bfloat16().float(), "or casting it would not show"
    loss_fn = LocalDIMLoss(3, 2, estimator=estimator, critic="bilinear")
    cast(loss_fn)
    assert {p.dtype for p in loss_fn.critic.parameters()} <= {torch.float16, torch.bfloat16}
    kept = estimator.get_buffer(AVERAGES[name][1])
    assert kept.dtype == torch.float32
    assert kept == average
    estimator(F.dense_scores(randn(5, 5, dtype=torch.float32)))
    assert estimator.get_buffer(AVERAGES[name][1]).dtype == torch.float32


@by_average
def test_double_gives_float64_and_device_moves(name: str) -> None:
    estimator, average = trained(name)
    wide = estimator.double().get_buffer(AVERAGES[name][1])
    assert wide.dtype == torch.float64
    assert wide == average.double()
    assert estimator.float().get_buffer(AVERAGES[name][1]).dtype == torch.float32
    assert estimator.to("meta", torch.bfloat16).get_buffer(AVERAGES[name][1]).device.type == "meta"


@by_average
def test_the_state_dict_brings_it_back(name: str) -> None:
    estimator, average = trained(name)
    stored = io.BytesIO()
    torch.save(estimator.state_dict(), stored)
    stored.seek(0)
    fresh = AVERAGES[name][0]()
    assert fresh.get_buffer(AVERAGES[name][1]) == -math.inf
    fresh.load_state_dict(torch.load(stored, weights_only=True))
    assert fresh.get_buffer(AVERAGES[name][1]) == average
    scores = F.dense_scores(randn(5, 5, seed=7, dtype=torch.float32))
    assert fresh.mutual_information(scores) == estimator.mutual_information(scores)


@pytest.mark.parametrize("make", [MINE, TUBA, lambda: TUBA(alpha=0.5)])
def test_one_batch_that_overflowed_is_forgotten(make: Callable[[], nn.Module]) -> None:
    estimator, other = make(), make()
    for table in (torch.eye(4), torch.full((4, 4), torch.inf), 2 * torch.eye(4)):
        found = estimator(F.dense_scores(table))
        if table.isfinite().all():
            assert torch.equal(found, other(F.dense_scores(table)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_mine_is_a_scalar_whatever_axes_its_average_has(shape: tuple[int, ...]) -> None:
    loss = F.mine_loss(F.dense_scores(torch.randn(4, 4)), log_average=torch.zeros(shape, dtype=torch.float64))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
