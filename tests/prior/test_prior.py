"""The adversarial prior term: one backward pass trains both players, and neither learns from the other's loss."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from contracts.modules import check_players_apart
from tolerances import assert_close
from torch import Tensor, nn
from torch.nn import functional as nnf

from infomax import PriorMatchingLoss

by_prior = pytest.mark.parametrize("prior", ["uniform", "normal"])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@by_prior
class TestGame:
    def test_players_are_apart(self, prior: str) -> None:
        check_players_apart(PriorMatchingLoss(4, prior))

    def test_terms_are_the_formula(self, prior: str) -> None:
        loss = PriorMatchingLoss(3, prior, hidden=(7,)).double()
        y = randn(6, 3)
        real = torch.rand(6, 3, generator=draw(), dtype=torch.float64)
        if prior == "normal":
            real = torch.randn(6, 3, generator=draw(), dtype=torch.float64)
        data = y.sigmoid() if prior == "uniform" else y
        of_prior, of_data = (loss.discriminator(rows).sigmoid() for rows in (real, data))
        terms = loss.terms(y, generator=draw())
        assert_close(terms.discriminator, -(of_prior.log().mean() + (1 - of_data).log().mean()), 1e-12)
        assert_close(terms.encoder, -of_data.log().mean(), 1e-12)
        assert_close(loss(y, generator=draw()), terms.encoder + terms.discriminator, 1e-12)

    def test_it_starts_at_two_log_two(self, prior: str) -> None:
        terms = PriorMatchingLoss(64, prior).terms(torch.randn(128, 64))
        assert_close(terms.discriminator, 2 * math.log(2), 0.05)
        assert_close(terms.encoder, math.log(2), 0.15)

    def test_several_globals_are_samples_each(self, prior: str) -> None:
        loss = PriorMatchingLoss(3, prior).double()
        y = randn(4, 3, 2, 2)
        rows = y.flatten(2).transpose(1, 2).reshape(16, 3)
        assert_close(loss(y, generator=draw()), loss(rows, generator=draw()), 1e-12)

    def test_a_generator_makes_it_reproducible(self, prior: str) -> None:
        loss, y = PriorMatchingLoss(3, prior), torch.randn(8, 3)
        state = torch.get_rng_state()
        values = [loss(y, generator=draw(seed)) for seed in (0, 0, 1)]
        assert values[0] == values[1] != values[2]
        assert torch.equal(torch.get_rng_state(), state), "the global generator was used beside the one given"

    def test_dtypes(self, prior: str) -> None:
        loss = PriorMatchingLoss(3, prior)
        assert loss(torch.randn(8, 3)).dtype == torch.float32
        assert loss.double()(randn(8, 3)).dtype == torch.float64
        loss.float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(torch.randn(8, 3).bfloat16())
        assert value.dtype == torch.float32
        assert value.isfinite()

    def test_gradients_in_double_precision(self, prior: str) -> None:
        loss = PriorMatchingLoss(2, prior, hidden=(5,)).double()
        y = randn(3, 2).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: loss.terms(x, generator=draw()).encoder, y)

    def test_extreme_representations(self, prior: str) -> None:
        loss = PriorMatchingLoss(3, prior)
        for parameter in loss.discriminator.parameters():
            nn.init.normal_(parameter, std=3.0)
        y = (1e4 * torch.randn(8, 3)).requires_grad_()
        value = loss(y)
        value.backward()
        assert value.isfinite()
        assert y.grad is not None
        assert y.grad.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())

    def test_copies(self, prior: str) -> None:
        loss, y = PriorMatchingLoss(3, prior), torch.randn(8, 3)
        fresh = PriorMatchingLoss(3, prior)
        fresh.load_state_dict(loss.state_dict())
        expected = loss(y, generator=draw())
        for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), fresh):
            assert other(y, generator=draw()) == expected

    def test_one_optimizer_for_both_players(self, prior: str) -> None:
        """The mean of the encoder's outputs starts far from the mean of the prior and approaches it."""
        torch.manual_seed(0)
        encoder = nn.Linear(4, 2)
        nn.init.constant_(encoder.bias, 3.0)
        loss = PriorMatchingLoss(2, prior, hidden=(64,))
        optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=2e-2, betas=(0.5, 0.9))

        def outputs() -> Tensor:
            y = encoder(torch.randn(256, 4))
            return y.sigmoid() if prior == "uniform" else y

        target = 0.5 if prior == "uniform" else 0.0
        before = (outputs().mean() - target).abs()
        for _ in range(120):
            optimizer.zero_grad()
            loss(encoder(torch.randn(64, 4))).backward()
            optimizer.step()
        after = (outputs().mean() - target).abs()
        assert after < 0.5 * before, f"mean went from {before:.2f} to {after:.2f} off"


def test_sampling() -> None:
    """The discriminator sees samples of the prior beside the data."""
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            seen.append(rows)
            return rows[:, :1]

    for prior, mean, deviation in (("uniform", 0.5, 12**-0.5), ("normal", 0.0, 1.0)):
        loss = PriorMatchingLoss(4, prior)
        loss.discriminator = Spy()
        y = torch.randn(4000, 4)
        loss.terms(y)
        both, data = seen[-2:]
        real, also = both.chunk(2)
        assert torch.equal(data, also)
        assert torch.equal(data, y.sigmoid() if prior == "uniform" else y)
        assert_close(real.mean(), mean, 0.03)
        assert_close(real.std(), deviation, 0.03)
        if prior == "uniform":
            assert real.min() >= 0
            assert real.max() <= 1


def test_the_discriminator_is_the_papers() -> None:
    layers = PriorMatchingLoss(64).discriminator
    assert [(m.in_features, m.out_features) for m in layers if isinstance(m, nn.Linear)] == [
        (64, 1000),
        (1000, 200),
        (200, 1),
    ]
    assert_close(layers[1](torch.tensor([-1.0, 2.0])), nnf.relu(torch.tensor([-1.0, 2.0])), 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PriorMatchingLoss(0), ValueError, "dim must be at least 1, got 0"),
        (lambda: PriorMatchingLoss("4"), TypeError, "dim must be an integer, got str"),
        (lambda: PriorMatchingLoss(4, "beta"), ValueError, "prior must be one of normal, uniform, got 'beta'"),
        (lambda: PriorMatchingLoss(4, ["normal"]), TypeError, "prior must be one of normal, uniform, got list"),
        (lambda: PriorMatchingLoss(4)(torch.zeros(4)), ValueError, r"y must have shape \(N, 4\) .*got \(4,\)"),
        (lambda: PriorMatchingLoss(4)(torch.zeros(2, 3)), ValueError, r"y must have shape \(N, 4\) .*got \(2, 3\)"),
        (lambda: PriorMatchingLoss(4)(torch.zeros(0, 4)), ValueError, r"y must have shape .*got \(0, 4\)"),
        (lambda: PriorMatchingLoss(4)(torch.zeros(2, 4).long()), TypeError, "y must have a real floating dtype.*int64"),
        (lambda: PriorMatchingLoss(4)([[0.0] * 4]), TypeError, "y must be a torch.Tensor, got list"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_discriminator_says_that_its_layers_are_fixed() -> None:
    """Regression: a replaced activation or an added layer was shown by `repr` but never ran."""
    for change in (
        lambda d: d.__setitem__(1, nn.Tanh()),
        lambda d: d.append(nn.Hardtanh()),
        lambda d: d.insert(2, nn.Dropout()),
        lambda d: d.__setitem__(0, nn.Linear(4, 1000)),
    ):
        loss = PriorMatchingLoss(4)
        change(loss.discriminator)
        with pytest.raises(TypeError, match=r"discriminator must keep its layers, .*assign an nn.Sequential"):
            loss(torch.randn(8, 4))
        loss.discriminator = nn.Sequential(*loss.discriminator)
        assert loss(torch.randn(8, 4)).isfinite()


def test_the_discriminator_may_be_parametrised() -> None:
    loss = PriorMatchingLoss(4)
    nn.utils.parametrizations.spectral_norm(loss.discriminator[0])
    assert loss(torch.randn(8, 4)).isfinite()
