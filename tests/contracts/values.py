"""Checks of values: losses, gradients and estimates against loops, sides of bounds, finite values at extreme scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gaussians
import numpy as np
import score_tables
import torch
from contracts.layouts import (
    Layout,
    features,
    like_rows,
    numpy_rows,
    randn,
    scores_in,
    small_workspace,
    some_mask,
)
from tolerances import RELATIVE, assert_close
from torch import Tensor

from infomax import functional as F
from infomax.scores import PairScores


def check_loss_and_gradients(
    loss: Callable[[PairScores], Tensor],
    oracle: Callable[[score_tables.Pairs], complex],
    layout: Layout,
    form: str,
    *,
    masked: bool = False,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
) -> None:
    """Check the value of the loss and both gradients against the reference loops."""
    local, global_ = features(layout, dtype=dtype)
    mask = some_mask(layout) if masked else None
    with small_workspace():
        value = loss(scores_in(form, local, global_, mask, scale))
        assert value.ndim == 0, f"loss must be a scalar, got {tuple(value.shape)}"
        by_local, by_global = torch.autograd.grad(value, (local, global_))

    expected, expected_local, expected_global = _expected(oracle, layout, masked, scale, dtype)
    tolerance = RELATIVE[dtype] if tolerance is None else tolerance
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32), value.dtype
    assert by_local.dtype == by_global.dtype == dtype
    assert_close(value, expected, min(tolerance, 1e-5) if dtype != torch.float64 else tolerance, "loss")
    assert_close(by_local, like_rows(expected_local, local), tolerance, "gradient of local")
    assert_close(by_global, like_rows(expected_global, global_), tolerance, "gradient of global_")


@functools.cache
def _expected(
    oracle: Callable[[score_tables.Pairs], complex], layout: Layout, masked: bool, scale: float, dtype: torch.dtype
) -> tuple[float, np.ndarray, np.ndarray]:
    local, global_ = features(layout, dtype=dtype)
    mask = some_mask(layout).reshape(layout.local[0], -1).numpy() if masked else None
    x, y = numpy_rows(local), numpy_rows(global_)
    value, gradient = score_tables.value_and_gradient(oracle, score_tables.dot_table(x, y, scale), mask)
    return (value, *score_tables.dot_gradients(gradient, x, y, scale))


def check_estimate(
    estimate: Callable[[PairScores], Tensor],
    oracle: Callable[[score_tables.Pairs], complex],
    layout: Layout,
    form: str,
    *,
    masked: bool = False,
) -> None:
    """Check the estimate in nats against the reference loops."""
    local, global_ = features(layout)
    mask = some_mask(layout) if masked else None
    with small_workspace():
        value = estimate(scores_in(form, local, global_, mask))
    flat = None if mask is None else mask.reshape(mask.shape[0], -1).numpy()
    table = score_tables.dot_table(numpy_rows(local), numpy_rows(global_))
    assert value.ndim == 0
    assert_close(value, oracle(score_tables.pairs_of(table, flat)).real, RELATIVE[torch.float64], "estimate")


@functools.cache
def gaussian_batches(correlation: float, examples: int, batches: int) -> list[np.ndarray]:
    """Return log density ratios (N, N) of independent batches of correlated normals: scores of an optimal critic."""
    random, tables = np.random.default_rng(0), []
    for _ in range(batches):
        x = random.normal(size=(examples, 1))
        y = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=(examples, 1))
        tables.append(gaussians.gaussian_log_ratio(x, y, correlation))
    return tables


def check_expectation(
    estimate: Callable[[PairScores], Tensor],
    *,
    correlation: float,
    truth: float,
    critic: Callable[[np.ndarray], np.ndarray] = lambda ratio: ratio,
    examples: int = 64,
    batches: int = 100,
    tight: bool = True,
    below: float = 0.0,
    side: str = "lower",
) -> None:
    """Check that the mean of a lower bound over batches does not exceed ``truth`` by more than 4 standard errors.

    Args:
        critic: maps the log density ratio to the optimal critic of the estimator under test.
        tight: also check that the mean is at most ``below`` + 4 standard errors below the truth.
        below: how far below the truth theory puts the mean for batches of this size; for an upper bound, how far above.
        side: "lower" for a lower bound; "upper" exchanges "above" and "below" in both checks.
    """
    found = [
        float(estimate(F.dense_scores(torch.from_numpy(critic(ratio)))))
        for ratio in gaussian_batches(correlation, examples, batches)
    ]
    mean, deviation = float(np.mean(found)), 4 * float(np.std(found, ddof=1)) / batches**0.5
    assert deviation < 0.15 * max(truth, 1.0), f"too noisy to tell: 4 standard errors are {deviation}"
    above = mean - truth
    assert side in ("lower", "upper")
    if side == "lower":
        assert above <= deviation, f"{mean:.4f} exceeds the truth {truth:.4f} by more than {deviation:.4f}"
        reached = above >= -deviation - below
    else:
        assert above >= -deviation, f"{mean:.4f} falls short of the truth {truth:.4f} by more than {deviation:.4f}"
        reached = above <= deviation + below
    if tight:
        assert reached, f"{mean:.4f} misses the truth {truth:.4f} by more than {deviation:.4f}"


def check_ceiling(estimate: Callable[[PairScores], Tensor]) -> None:
    """Check that InfoNCE never exceeds log(1 + K), and reaches it where the joint scores are far above the others."""
    for examples, locations in ((2, 1), (5, 1), (4, 3)):
        ceiling = np.log1p((examples - 1) * locations)
        eye = torch.eye(examples, dtype=torch.float64)[:, None, :, None].expand(-1, 2, -1, locations)
        for height in (1.0, 30.0, 1e4):
            value = estimate(F.dense_scores(height * eye + 0.3 * randn(examples, 2, examples, locations)))
            assert value <= ceiling + 1e-12, f"{float(value)} exceeds log(1 + K) = {ceiling}"
        assert_close(value, ceiling, 1e-12, "estimate of a perfect critic")


def check_lipschitz(critic: Any, local_dim: int, global_dim: int) -> None:
    """Check that no score changes by more than the sum of both features' changes, for small and large steps."""
    draw = torch.Generator().manual_seed(0)
    for size in (0.1, 3.0, 100.0):
        for step in (1e-3, 1.0, 30.0):
            x, y = (size * torch.randn(24, dim, generator=draw).double() for dim in (local_dim, global_dim))
            dx, dy = (step * torch.randn(24, dim, generator=draw).double() for dim in (local_dim, global_dim))
            for a, b in ((dx, 0 * dy), (0 * dx, dy), (dx, dy)):
                change = (critic(x + a, y + b).joint() - critic(x, y).joint()).abs()
                most = a.norm(dim=1) + b.norm(dim=1)
                assert (change <= most * (1 + 1e-9) + 1e-12).all(), f"a score changes by {(change / most).max():.3g}"


def check_finite_at_extremes(loss: Callable[[PairScores], Tensor]) -> None:
    """Check that loss and gradients are finite at scores of +-1e4 in float32 and +-3e4 from bfloat16 features."""
    signs = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    for size, dtype in ((1e4, torch.float32), (3e4, torch.bfloat16)):
        for pattern in (signs, -signs, signs.abs(), -signs.abs()):
            local = (pattern[:, :1] * size).expand(3, 1).clone().to(dtype).requires_grad_()
            global_ = pattern[:, 1:].clone().to(dtype).requires_grad_()
            scores = F.dot_scores(local, global_)
            value = loss(scores)
            gradients = torch.autograd.grad(value, (local, global_), allow_unused=True)
            assert value.isfinite(), f"loss is {value} at scores of {size} in {dtype}"
            for gradient in gradients:
                assert gradient is None or gradient.isfinite().all(), f"gradient {gradient} at {size} in {dtype}"
        table = (torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).sign() * size).requires_grad_()
        value = loss(F.dense_scores(table))
        (gradient,) = torch.autograd.grad(value, table)
        assert value.isfinite()
        assert gradient.isfinite().all(), f"gradient {gradient} of a table at {size}"
