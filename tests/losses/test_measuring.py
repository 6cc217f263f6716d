"""Measuring changes no state: parameters, statistics, averages and random state stay as they were."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from contracts.layouts import randn
from tolerances import assert_close
from torch import Tensor, nn

from infomax import MINE, DIMLoss, DotCritic, GlobalDIMLoss, LocalDIMLoss
from infomax import functional as F

C, D = 3, 4


class Noisy(nn.Module):
    """A user-defined critic that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return (self.drop(local) * global_[:, :C]).sum(1)


class Counting(nn.Module):
    """A user-defined critic that changes its state: the power iteration of spectral norm, and a counter of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(C + D, 1))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(torch.cat([local, global_], 1)).squeeze(1)


LOSSES: dict[str, Any] = {
    "writes": lambda: LocalDIMLoss(C, D, critic=Counting()),
    "draws": lambda: LocalDIMLoss(C, D, units=8, sample_locations=2, sample_negatives=1),
    "dropout": lambda: LocalDIMLoss(C, D, critic=Noisy()),
    "average": lambda: LocalDIMLoss(C, D, estimator="mine", critic="bilinear"),
    "baseline": lambda: LocalDIMLoss(C, D, estimator="tuba", critic="bilinear"),
    "global": lambda: GlobalDIMLoss(C, D, (2, 2), units=8, sample_negatives=2),
    "all": lambda: DIMLoss(C, D, (2, 2), alpha=1.0, units=8, sample_locations=2, sample_negatives=2),
}


def data() -> tuple[Tensor, Tensor]:
    return randn(5, C, 2, 2, dtype=torch.float32), randn(5, D, seed=1, dtype=torch.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_changes(name: str) -> None:
    loss = LOSSES[name]()
    loss(*data())
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    random = torch.get_rng_state()
    nats = loss.mutual_information(*data())
    for value in nats if isinstance(nats, tuple) else (nats,):
        assert value.isfinite()
        assert not value.requires_grad
    assert torch.equal(torch.get_rng_state(), random), "the next draw of a training would be another"
    assert all(torch.equal(value, state[key]) for key, value in loss.state_dict().items())


def test_an_unknown_gather_is_refused() -> None:
    with pytest.raises(ValueError, match="gather must be True, False or 'ring', got 'Ring'"):
        LocalDIMLoss(C, D, units=8).mutual_information(*data(), gather="Ring")


def test_a_generator_of_ones_own_draws() -> None:
    loss = LOSSES["draws"]()
    found = [loss.mutual_information(*data(), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_the_whole_objective_is_measured_term_by_term() -> None:
    loss = DIMLoss(C, D, (2, 2), alpha=1.0, units=8)
    assert loss.local_term is not None
    assert loss.global_term is not None
    nats = loss.mutual_information(*data())
    assert nats.local == loss.local_term.mutual_information(*data())
    assert nats.global_ == loss.global_term.mutual_information(*data())
    scores = loss.scores(*data())
    assert_close(F.infonce_estimate(scores.local), nats.local, 1e-5)
    assert_close(F.infonce_estimate(scores.global_), nats.global_, 1e-5)
    alone = DIMLoss(C, D, units=8)
    assert alone.scores(*data()).global_ is None
    assert alone.mutual_information(*data()).global_ is None


def test_estimates_carry_a_gradient_on_request() -> None:
    loss, (local, global_) = LocalDIMLoss(C, D, critic="bilinear"), data()
    local.requires_grad_()
    loss.estimator.estimate(loss.scores(local, global_)).backward()
    assert local.grad is not None
    assert local.grad.any()


class TestFactories:
    """A callable makes a separate critic or estimator for each term."""

    def test_each_term_gets_its_own(self) -> None:
        loss = DIMLoss(C, D, (2, 2), alpha=1.0, critic=partial(DotCritic, units=8), estimator=partial(MINE, rate=0.5))
        assert loss.local_term is not None
        assert loss.global_term is not None
        assert loss.local_term.estimator is not loss.global_term.estimator
        assert loss.local_term.critic.global_projection is not loss.global_term.critic.global_projection
        assert loss.local_term.critic.scale == 8**-0.5
        loss(*data()).loss.backward()
        averages = [term.estimator.average.value for term in (loss.local_term, loss.global_term)]
        assert averages[0] != averages[1]

    def test_values_are_those_of_the_module_alone(self) -> None:
        """Two terms that shared one MINE would each change the other's average, and so its gradient."""
        torch.manual_seed(0)
        loss = DIMLoss(C, D, (2, 2), alpha=1.0, gamma=0.0, units=8, estimator=MINE, dtype=torch.float64)
        alone = LocalDIMLoss(C, D, critic=loss.local_term.critic, estimator=MINE(), dtype=torch.float64)
        local, global_ = (part.double() for part in data())
        for _ in range(3):
            expected = alone(local, global_)
            assert_close(loss(local, global_).local, expected, 1e-12)

    def test_a_stateless_module_serves_both(self) -> None:
        from infomax import JensenShannon

        assert DIMLoss(C, D, (2, 2), alpha=1.0, units=8, estimator=JensenShannon(read="nwj"))(*data()).loss.isfinite()


@pytest.mark.parametrize("make", [LOSSES["draws"], LOSSES["global"], LOSSES["all"]])
def test_device_and_dtype_are_those_asked_for(make: Any) -> None:
    kinds = {LocalDIMLoss: (C, D), GlobalDIMLoss: (C, D, (2, 2)), DIMLoss: (C, D, (2, 2))}
    kind = type(make())
    loss = kind(*kinds[kind], units=8, dtype=torch.float64, device="cpu")
    assert {parameter.dtype for parameter in loss.parameters()} == {torch.float64}
    assert all(parameter.is_meta for parameter in kind(*kinds[kind], units=8, device="meta").parameters())


@pytest.mark.parametrize("build", [partial(LocalDIMLoss, 3, 3), partial(DIMLoss, 3, 3, alpha=0, gamma=0)])
def test_drawn_negatives_and_those_of_all_processes_exclude_each_other(build: Callable[..., nn.Module]) -> None:
    """Regression: the estimate had no marginal pairs. It was 0 by InfoNCE and NaN by the Donsker-Varadhan bound."""
    loss_fn = build(critic="bilinear", sample_negatives=2)
    with pytest.raises(ValueError, match="sample_negatives must be None with gather=True"):
        loss_fn.mutual_information(randn(5, 3, 2), randn(5, 3), gather=True)


def test_a_norm_that_torch_synchronises_measures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training mode, a synchronised norm would wait for the processes that do not measure."""

    class Scorer(DotCritic):
        def __init__(self, norm: nn.Module) -> None:
            torch.manual_seed(0)
            super().__init__(3, 3, units=4)
            self.local_projection = nn.Sequential(norm, nn.Linear(3, 4))

    local, global_ = randn(6, 3).float(), randn(6, 3, seed=1).float()
    expected = LocalDIMLoss(3, 3, critic=Scorer(nn.BatchNorm1d(3))).mutual_information(local, global_)
    loss_fn = LocalDIMLoss(3, 3, critic=Scorer(nn.SyncBatchNorm(3)))
    norm = next(part for part in loss_fn.modules() if isinstance(part, nn.SyncBatchNorm))
    norm.running_mean.fill_(7.0)
    # If the norm tried to synchronise, it would raise an error on the CPU.
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    found = loss_fn.mutual_information(local, global_)
    monkeypatch.undo()
    assert torch.allclose(found, expected)
    assert norm.training
    assert norm.track_running_stats
    assert norm.running_mean.tolist() == [7.0] * 3
    assert norm.running_var is not None
