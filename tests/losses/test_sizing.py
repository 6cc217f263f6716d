"""Sizing a loss from one forward pass leaves no trace in the module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from infomax import DIMLoss, GlobalDIMLoss, LocalDIMLoss, tap
from infomax.features import feature_shapes


class Hostile(nn.Module):
    """An encoder that changes its state in every way that a forward pass can, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 6, 3)
        self.norm, self.frozen, self.drop = nn.BatchNorm2d(6), nn.BatchNorm2d(6).eval(), nn.Dropout(0.5)
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("variance", torch.ones(6))

    def forward(self, images: Tensor, *, gain: float = 1.0) -> tuple[Tensor, Tensor]:
        local = self.drop(self.frozen(self.norm(self.map(images)))) * gain
        self.calls += torch.rand(())
        # This write does not raise the version counter of the buffers.
        nn.functional.batch_norm(local, self.mean, self.variance, training=True)
        self.replaced = self.replaced + 1
        return local, self.head(local.mean((2, 3)))


def state(module: nn.Module) -> tuple[Any, ...]:
    tensors = {name: (id(value), value.clone()) for name, value in module.state_dict(keep_vars=True).items()}
    modes = [part.training for part in module.modules()]
    grads = [p.grad for p in module.parameters()]
    return tensors, modes, grads, torch.get_rng_state()


def unchanged(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    same = all(
        before[0][name][0] == after[0][name][0] and torch.equal(before[0][name][1], after[0][name][1])
        for name in before[0]
    )
    grads = all(one is other for one, other in zip(before[2], after[2], strict=True))
    return same and grads and before[1] == after[1] and torch.equal(before[3], after[3])


@pytest.mark.parametrize("build", [LocalDIMLoss, GlobalDIMLoss, DIMLoss])
def test_the_module_is_left_as_it_was(build: Any) -> None:
    encoder, images = Hostile(), torch.rand(2, 3, 8, 8)
    encoder(images)[1].sum().backward()
    start = torch.get_rng_state()
    sizes = {"local_dim": 6, "global_dim": 5, "local_size": (6, 6)}
    build(**{name: sizes[name] for name in list(sizes)[: 2 if build is LocalDIMLoss else 3]}, units=8)
    before = state(encoder)  # the random state after the weights of the loss were drawn
    torch.set_rng_state(start)
    loss_fn = build.from_features(encoder, images, units=8)
    assert unchanged(before, state(encoder))
    local, global_ = encoder(images)
    loss = loss_fn(local, global_)
    getattr(loss, "loss", loss).backward()


def test_and_after_an_error() -> None:
    encoder, images = Hostile(), torch.rand(2, 4, 8, 8)
    before = state(encoder)
    with pytest.raises(RuntimeError):
        LocalDIMLoss.from_features(encoder, images)
    assert unchanged(before, state(encoder))


def test_the_comparison_sees_a_plain_call() -> None:
    for change in (lambda e: e(torch.ones(2, 3, 8, 8)), lambda e: e.eval(), lambda e: torch.rand(1)):
        encoder = Hostile()
        before = state(encoder)
        change(encoder)
        assert not unchanged(before, state(encoder))


def test_options_sizes_and_arguments_arrive() -> None:
    encoder, images = Hostile(), torch.rand(1, 3, 9, 7)
    local = LocalDIMLoss.from_features(encoder, images, estimator="jsd", critic="bilinear", dtype=torch.float64)
    assert type(local.estimator).__name__ == "JensenShannon"
    assert next(local.parameters()).dtype == torch.float64
    whole = DIMLoss.from_features(encoder, {"images": images, "gain": 2.0}, alpha=1.0, beta=0.0, units=8)
    assert whole.global_term is not None
    assert whole.global_term.map_encoder.local_size == (7, 5)
    assert GlobalDIMLoss.from_features(encoder, (images,), units=8).map_encoder.local_dim == 6
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(140, 2)))
    tapped = tap(body, "0", "1")
    assert feature_shapes(tapped, images) == (4, (7, 5), 2)
    assert LocalDIMLoss.from_features(tapped, images, critic="bilinear").critic.weight.in_features == 2


def test_it_goes_where_the_features_are() -> None:
    encoder = Hostile().to("meta")
    for part in (encoder.map, encoder.norm, encoder.frozen):
        assert next(part.parameters()).device.type == "meta"
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(144, 2))).to("meta")
    loss_fn = LocalDIMLoss.from_features(tap(body, "0", "1"), torch.rand(1, 3, 8, 8, device="meta"), critic="bilinear")
    assert next(loss_fn.parameters()).device.type == "meta"


@pytest.mark.parametrize(
    ("features", "options", "error", "message"),
    [
        (lambda x: x, {}, TypeError, "features must be a module .* got function; infomax.tap makes one"),
        (nn.Flatten(), {}, TypeError, "must return local and global features, got Tensor; use tap"),
        (nn.AdaptiveMaxPool2d(1, return_indices=True), {"local_dim": 3}, TypeError, "local_dim must be left out"),
        (nn.AdaptiveMaxPool2d(1, return_indices=True), {"unit": 3}, TypeError, "unexpected keyword argument 'unit'"),
    ],
)
def test_refusals(features: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LocalDIMLoss.from_features(features, torch.rand(2, 3, 8, 8), **options)


def test_features_without_channels() -> None:
    class Flat(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, images.sum((1, 2, 3))

    with pytest.raises(ValueError, match=r"must return global features with channels second, got shape \(2,\)"):
        LocalDIMLoss.from_features(Flat(), torch.rand(2, 3, 8, 8))


def test_the_loss_is_the_one_that_the_sizes_make() -> None:
    encoder, images = Hostile(), torch.rand(2, 3, 8, 8)
    torch.manual_seed(0)
    one = LocalDIMLoss.from_features(encoder, images, units=8)
    torch.manual_seed(0)
    other = LocalDIMLoss(6, 5, units=8)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
