"""Checks of modules: estimates change no state, copies agree, players have separate gradients, training raises MI."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from contracts.layouts import FORMS, LAYOUTS, features, scores_in
from tolerances import assert_close
from torch import Tensor, nn


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Raise if a parameter, a buffer, a gradient or a mode of ``module`` changes within the block."""
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = {name: (m.training, getattr(m, "track_running_stats", None)) for name, m in module.named_modules()}
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}
    yield
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} has changed"
    for name, m in module.named_modules():
        assert modes[name] == (m.training, getattr(m, "track_running_stats", None)), f"mode of {name} has changed"
    for name, p in module.named_parameters():
        kept = gradients[name]
        same = p.grad is None if kept is None else p.grad is not None and torch.equal(p.grad, kept)
        assert same, f"gradient of {name} has changed"


def check_measures_without_trace(loss: Any, local: Tensor, global_: Tensor) -> None:
    """Check that ``mutual_information`` has no gradient and leaves the module unchanged, in both modes."""
    local, global_ = local.detach().requires_grad_(), global_.detach().requires_grad_()
    for training in (True, False):
        loss.train(training)
        with unchanged(loss):
            nats = loss.mutual_information(local, global_)
        assert nats.ndim == 0
        assert not nats.requires_grad, "an estimate is to be reported, not trained"
    loss.train()


def check_estimate_first(estimator: Any) -> None:
    """Check that an estimate does not affect a loss of the same scores, which must not reuse values without a graph."""
    for form in FORMS:
        results = []
        for estimate_first in (False, True):
            local, global_ = features(LAYOUTS[3])
            scores = scores_in(form, local, global_)
            fresh = copy.deepcopy(estimator)
            if estimate_first:
                fresh.mutual_information(scores)
            value = fresh(scores)
            assert value.requires_grad, f"{form}: the loss has no gradient after an estimate"
            results.append((value, *torch.autograd.grad(value, (local, global_))))
        for name, one, other in zip(("loss", "gradient of local", "gradient of global_"), *results, strict=True):
            assert_close(other, one, 1e-12, f"{form}: {name} after an estimate")


def check_copies(make_loss: Callable[[], nn.Module], local: Tensor, global_: Tensor) -> None:
    """Check that copies by deepcopy, pickle and state dict, made after a call in training mode, compute the same."""
    loss = make_loss()
    loss(local, global_)
    loss.eval()
    stored = io.BytesIO()
    torch.save(loss.state_dict(), stored)
    stored.seek(0)
    loaded = make_loss().eval()
    for parameter in loaded.parameters():
        nn.init.zeros_(parameter)
    loaded.load_state_dict(torch.load(stored, weights_only=True), strict=True)
    copies = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), loaded]
    value = loss(local, global_)
    for other in copies:
        assert {p.data_ptr() for p in other.parameters()}.isdisjoint({p.data_ptr() for p in loss.parameters()})
        assert torch.equal(other(local, global_), value), "a copy computes something else"


def check_players_apart(prior: Any, dim: int = 4) -> None:
    """Check that the encoder's term trains the encoder only, and the discriminator's term the discriminator only."""
    encoder = nn.Linear(3, dim)
    y = encoder(torch.randn(32, 3, generator=torch.Generator().manual_seed(0)))
    terms = prior.terms(y, generator=torch.Generator().manual_seed(1))
    players = {"encoder": list(encoder.parameters()), "discriminator": list(prior.discriminator.parameters())}
    for mine, theirs in (("encoder", "discriminator"), ("discriminator", "encoder")):
        term = getattr(terms, mine)
        assert term.requires_grad, f"the {mine}'s own term does not reach it"
        own = torch.autograd.grad(term, players[mine], retain_graph=True, allow_unused=True)
        assert all(g is not None and g.isfinite().all() for g in own), f"the {mine}'s own term does not reach it"
        assert any(g.any() for g in own), f"the {mine} does not learn from its own term"
        leaked = torch.autograd.grad(term, players[theirs], retain_graph=True, allow_unused=True)
        assert all(g is None or not g.any() for g in leaked), f"the term of the {mine} reaches the {theirs}"
    # One backward pass of the sum gives each player the gradient of its own term only.
    total = prior(y, generator=torch.Generator().manual_seed(1))
    for name, player in players.items():
        expected = torch.autograd.grad(getattr(terms, name), player, retain_graph=True)
        found = torch.autograd.grad(total, player, retain_graph=True)
        for one, other in zip(expected, found, strict=True):
            assert_close(other, one, 1e-5, f"gradient of the {name} from the sum of the terms")


def check_overfits(
    loss: Any,
    *,
    forward: Callable[[nn.Module, Tensor], tuple[Tensor, ...]],
    encoder: nn.Module,
    images: Tensor,
    steps: int = 60,
    lr: float = 5e-3,
    gain: float = 0.5,
    read: Callable[..., Tensor] | None = None,
) -> None:
    """Check that MI rises when the loss trains encoder and critic on a few examples, and that nothing becomes NaN.

    Args:
        read: the function whose value must rise; ``loss.mutual_information`` if None.
    """
    read = loss.mutual_information if read is None else read
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], lr=lr)
    first = float(read(*forward(encoder, images)).detach())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        value = loss(*forward(encoder, images))
        assert value.isfinite(), f"loss is {value}"
        value.backward()
        optimizer.step()
    last = float(read(*forward(encoder, images)).detach())
    assert np.isfinite(last)
    assert last > first + gain, f"information went from {first:.3f} to {last:.3f} nats in {steps} steps"
