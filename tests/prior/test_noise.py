"""The prior by noise: its formula, the information that it lets through, and the distribution after training."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from tolerances import assert_close
from torch import Tensor, nn

from infomax import LocalDIMLoss
from infomax import functional as F
from infomax.prior import NoisePrior

by_prior = pytest.mark.parametrize("prior", ["normal", "uniform"])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@by_prior
class TestLayer:
    def test_it_is_the_formula(self, prior: str) -> None:
        y = 3 + 2 * torch.randn(50, 4, dtype=torch.float64)
        layer = NoisePrior(4, prior, noise=0.3).double()
        if prior == "normal":
            shaped = (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt()
            noise = 0.3 * torch.randn(50, 4, generator=draw(), dtype=torch.float64)
        else:
            shaped, noise = y.sigmoid(), 0.3 * (2 * torch.rand(50, 4, generator=draw(), dtype=torch.float64) - 1)
        assert_close(layer(y, generator=draw()), shaped + noise, 1e-12)

    def test_evaluation_is_deterministic_and_records_nothing(self, prior: str) -> None:
        layer = NoisePrior(3, prior)
        for _ in range(200):
            layer(5 + 2 * torch.randn(64, 3))
        layer.eval()
        before = copy.deepcopy(layer.state_dict())
        y = 5 + 2 * torch.randn(10, 3)
        state = torch.get_rng_state()
        assert torch.equal(layer(y), layer(y))
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
        expected = (y - 5) / 2 if prior == "normal" else y.sigmoid()
        assert_close(layer(y), expected, 0.1)

    def test_a_location_is_a_sample(self, prior: str) -> None:
        layer = NoisePrior(3, prior, noise=1e-9)
        y = torch.randn(5, 3, 2, 4)
        rows = y.permute(0, 2, 3, 1).reshape(-1, 3)
        flat = layer(rows).view(5, 2, 4, 3).permute(0, 3, 1, 2)
        assert_close(layer(y), flat, 1e-6)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    def test_dtypes(self, prior: str, dtype: torch.dtype) -> None:
        y = torch.randn(40, 6, dtype=dtype, requires_grad=True)
        made = NoisePrior(6, prior, dtype=torch.float64 if dtype == torch.float64 else None)
        noisy = made(y)
        assert noisy.dtype == dtype
        (grad,) = torch.autograd.grad(noisy.float().square().sum(), y)
        assert grad.isfinite().all()
        halved = NoisePrior(6, prior).to(dtype)
        assert halved(y).dtype == dtype

    def test_state_and_copies(self, prior: str) -> None:
        layer = NoisePrior(4, prior)
        layer(torch.randn(32, 4))
        fresh = NoisePrior(4, prior)
        fresh.load_state_dict(layer.state_dict())
        y = torch.randn(8, 4)
        for other in (fresh, copy.deepcopy(layer)):
            assert torch.equal(other.eval()(y), layer.eval()(y))
        assert not list(layer.parameters())

    def test_a_generator_makes_it_reproducible(self, prior: str) -> None:
        layer, y = NoisePrior(4, prior), torch.randn(8, 4)
        one, again, other = (layer(y, generator=draw(seed)) for seed in (0, 0, 1))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    def test_in_a_loss(self, prior: str) -> None:
        y = torch.randn(8, 4, requires_grad=True)
        loss_fn = LocalDIMLoss(local_dim=5, global_dim=4, units=8)
        loss_fn(torch.randn(8, 5, 3), NoisePrior(4, prior)(y)).backward()
        assert y.grad is not None
        assert y.grad.abs().sum() > 0


def mutual_information_of(sigma: float, kind: str) -> float:
    """Return I(U; U + noise) of one unit, by numerical integration of the entropies."""
    if kind == "normal":
        width = math.sqrt(1 + sigma**2)
        grid = np.linspace(-12 * width, 12 * width, 400_001)
        density = np.exp(-0.5 * (grid / width) ** 2) / (width * math.sqrt(2 * math.pi))
        entropy = -(density * np.log(density)).sum() * (grid[1] - grid[0])
        return float(entropy - 0.5 * math.log(2 * math.pi * math.e * sigma**2))
    grid = np.linspace(-1 - sigma, 2 + sigma, 400_001)
    density = (np.clip(grid + sigma, 0, 1) - np.clip(grid - sigma, 0, 1)) / (2 * sigma)
    entropy = -np.where(density > 0, density * np.log(np.where(density > 0, density, 1.0)), 0.0).sum()
    return float(entropy * (grid[1] - grid[0]) - math.log(2 * sigma))


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.5, 2.0])
def test_the_ceiling_is_what_the_prior_lets_through(sigma: float) -> None:
    assert NoisePrior(7, "normal", noise=sigma).ceiling() == pytest.approx(7 * mutual_information_of(sigma, "normal"))
    ceiling, through = NoisePrior(7, "uniform", noise=sigma).ceiling(), 7 * mutual_information_of(sigma, "uniform")
    assert through <= ceiling
    if sigma < 0.1:
        assert through > 0.97 * ceiling


def kernel(noisy: Tensor, clean: Tensor, noise: float, prior: str) -> Tensor:
    """Return scores (n, n) of each noisy value with each clean one: log density of the noise, smoothed if uniform."""
    apart = (noisy - clean.T) / noise
    return -0.5 * apart**2 if prior == "normal" else -(apart**6)


def distance(sample: Tensor, prior: str) -> float:
    """Return the Kolmogorov-Smirnov distance of a sample (n, 1) from the prior."""
    ordered = sample.flatten().double().sort().values
    cdf = 0.5 * (1 + torch.erf(ordered / 2**0.5)) if prior == "normal" else ordered.clamp(0, 1)
    return float((cdf - torch.arange(len(ordered)) / len(ordered)).abs().max())


def trained(prior: str, noise: float) -> tuple[float, float]:
    """Return the distance from the prior before and after InfoNCE training of one unit that starts in two clusters."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    layer, held_out = NoisePrior(1, prior, noise=noise), torch.randn(4000, 1)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)

    def represent(x: Tensor) -> Tensor:
        return 2 * torch.tanh(4 * x) + encoder(x)

    def measure() -> float:
        with torch.no_grad():
            return distance(NoisePrior(1, prior, noise=1e-9)(represent(held_out)), prior)

    before = measure()
    for _ in range(200):
        y = represent(torch.randn(256, 1))
        noisy, clean = layer(y), y.sigmoid() if layer.norm is None else (y - y.mean()) / y.std(correction=0)
        optimizer.zero_grad()
        F.infonce_loss(F.dense_scores(kernel(noisy, clean, noise, prior))).backward()
        optimizer.step()
    return before, measure()


@pytest.mark.slow
@pytest.mark.parametrize(("prior", "noise"), [("normal", 0.5), ("uniform", 0.05)])
def test_the_distribution_becomes_the_prior(prior: str, noise: float) -> None:
    """The critic is the log density of the noise.

    With hardly any noise, nothing drives the outputs towards the prior.
    """
    before, after = trained(prior, noise)
    _, without = trained(prior, 1e-5)
    assert before > 0.15
    assert after < 0.1
    assert without > 2 * after


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: NoisePrior(4, "cauchy"), ValueError, "prior must be one of normal, uniform"),
        (lambda: NoisePrior(4, noise=0), ValueError, "noise must be positive"),
        (lambda: NoisePrior(4, noise=math.inf), ValueError, "noise must be finite"),
        (lambda: NoisePrior(0), ValueError, "dim must be at least 1"),
        (lambda: NoisePrior(4)(torch.zeros(3, 5)), ValueError, r"y must have shape \(N, 4\) or .*got \(3, 5\)"),
        (lambda: NoisePrior(4)(torch.zeros(3, 4, dtype=torch.int64)), TypeError, "y must have a real floating dtype"),
        (lambda: NoisePrior(4)(torch.zeros(3, 4, dtype=torch.float64)), TypeError, r"torch.float32, got torch.float64"),
        (lambda: NoisePrior(4)(torch.zeros(1, 4)), ValueError, "at least 2 samples in training mode"),
        (lambda: NoisePrior(4, dtype=torch.complex64), TypeError, "dtype must be a real floating"),
        (lambda: NoisePrior(4, "uniform", dtype=torch.int64), TypeError, "dtype must be a real floating"),
        (lambda: NoisePrior(4, device="gpu"), ValueError, "device must be a torch.device or the name of one"),
        (lambda: NoisePrior(4)(torch.zeros(3, 4), generator=3), TypeError, "generator must be a torch.Generator"),
        (
            lambda: NoisePrior(4)(torch.zeros(3, 4, device="meta")),
            ValueError,
            "y and statistics must be on the same device",
        ),
    ],
)
def test_what_is_refused(call: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()  # type: ignore[operator]
