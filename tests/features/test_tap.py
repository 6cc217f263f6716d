"""`tap` gives the features of a hand-written forward pass, or a clear error when it cannot."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint

from infomax import encoders
from infomax.features import Features, Tap, feature_shapes, tap, taps


class Small(nn.Module):
    """An encoder that is hard to tap: it has an in-place layer, a layer that runs twice and an unused layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.inplace = nn.ReLU(inplace=True)
        self.body = nn.Conv2d(4, 6, 3)
        self.shared = nn.ReLU()
        self.head = nn.Linear(6, 5)
        self.out = nn.Linear(5, 2)
        self.unused = nn.Linear(2, 2)
        self.fail = False

    def forward(self, images: Tensor) -> Tensor:
        maps = self.inplace(self.norm(self.shared(self.stem(images))))
        pooled = self.shared(self.body(maps)).mean((2, 3))
        if self.fail:
            raise ArithmeticError("inside the encoder")
        return self.out(self.head(pooled))


@pytest.fixture
def encoder() -> Small:
    return Small()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 8, 8)


def by_hand(encoder: Small, images: Tensor) -> tuple[Tensor, Tensor]:
    local = encoder.body(encoder.norm(encoder.stem(images).relu()).relu())
    return local, encoder.head(local.relu().mean((2, 3)))


def agrees(encoder: Small, features: nn.Module, images: Tensor) -> bool:
    """Return whether values and gradients of a tap equal those of the forward pass written by hand."""
    results = []
    for run in (by_hand, lambda _, batch: features(batch)):
        encoder.zero_grad()
        local, global_ = run(encoder, images)
        (local.square().sum() + global_.sin().sum()).backward()
        gradients = [p.grad for layer in (encoder.stem, encoder.body, encoder.head) for p in layer.parameters()]
        results.append([local, global_, *gradients])
    return all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(*results, strict=True))


def test_values_and_gradients_are_those_of_a_forward_by_hand(encoder: Small, images: Tensor) -> None:
    assert agrees(encoder, tap(encoder, local="body", global_="head"), images)


def test_the_comparison_refuses_other_layers_and_lost_gradients(encoder: Small, images: Tensor) -> None:
    lost = tap(encoder, local="body", global_="head")
    lost.register_forward_hook(lambda _m, _a, out: Features(out.local.detach().requires_grad_(), out.global_))
    assert not agrees(encoder, lost, images)
    encoder.body = nn.Conv2d(4, 4, 3, padding=1)  # same channels as the stem, so that only values differ
    encoder.head = nn.Linear(4, 5)
    assert agrees(encoder, tap(encoder, local="body", global_="head"), images)
    assert not agrees(encoder, tap(encoder, local="stem", global_="head"), images)


def test_global_may_be_left_out_for_the_encoders_own_output(encoder: Small, images: Tensor) -> None:
    local, global_ = tap(encoder.eval(), "body")(images)
    torch.testing.assert_close(global_, encoder(images))
    assert tuple(local.shape) == (4, 6, 4, 4)


def test_the_papers_encoders_can_be_tapped_elsewhere() -> None:
    encoder = encoders.conv32().eval()
    images = torch.rand(2, 3, 32, 32)
    ours, theirs = tap(encoder, local="local", global_="y")(images), encoder(images)
    torch.testing.assert_close(ours, theirs)
    assert tuple(tap(encoder, local="conv", global_="fc")(images).local.shape) == (2, 256, 4, 4)


def test_resnet() -> None:
    models = pytest.importorskip("torchvision").models
    resnet = models.resnet18().eval()
    local, global_ = tap(resnet, local="layer2", global_="avgpool[..., 0, 0]")(torch.rand(2, 3, 64, 64))
    assert tuple(local.shape) == (2, 128, 8, 8)
    assert tuple(global_.shape) == (2, 512)


def test_keyword_arguments_reach_the_encoder(encoder: Small, images: Tensor) -> None:
    assert tap(encoder, "body")(images=images).local.shape[1] == 6


def test_the_encoder_is_not_changed(encoder: Small, images: Tensor) -> None:
    before, keys = encoder.eval()(images), list(encoder.state_dict())
    features = tap(encoder, "body")
    features(images)
    assert torch.equal(encoder(images), before)
    assert list(encoder.state_dict()) == keys
    assert list(features.state_dict()) == [f"encoder.{key}" for key in keys]
    assert {id(p) for p in features.parameters()} == {id(p) for p in encoder.parameters()}


class TestHooks:
    def count(self, encoder: nn.Module) -> int:
        return sum(len(module._forward_hooks) for module in encoder.modules())

    def kept(self, features: Tap) -> bool:
        return features._recorder._store.run is not None

    def test_nothing_is_kept_after_a_forward(self, encoder: Small, images: Tensor) -> None:
        features = tap(encoder, "body", "head")
        features(images)
        encoder(images)  # on its own, the encoder records nothing
        assert not self.kept(features)

    def test_nothing_is_kept_after_an_error_and_the_next_forward_works(self, encoder: Small, images: Tensor) -> None:
        features = tap(encoder, "body", "head")
        encoder.fail = True
        with pytest.raises(ArithmeticError, match="inside the encoder"):
            features(images)
        assert not self.kept(features)
        encoder.fail = False
        assert agrees(encoder, features, images)

    def test_the_outputs_are_freed_with_the_last_reference_to_them(self, encoder: Small, images: Tensor) -> None:
        features = tap(encoder, "body", "head")
        local, global_ = features(images)
        alive = [weakref.ref(local), weakref.ref(global_)]
        assert all(reference() is not None for reference in alive)
        del local, global_
        assert all(reference() is None for reference in alive)

    def test_hooks_go_with_remove_and_with_the_tap(self, encoder: Small, images: Tensor) -> None:
        features = tap(encoder, "body", "head")
        assert self.count(encoder) == 2
        features.remove()
        assert self.count(encoder) == 0
        with pytest.raises(RuntimeError, match="its hooks are gone"):
            features(images)
        features = tap(encoder, "body", "head")
        del features
        gc.collect()
        assert self.count(encoder) == 0

    def test_a_tap_that_was_refused_leaves_none(self, encoder: Small) -> None:
        with pytest.raises(ValueError, match="no submodule"):
            tap(encoder, "body", "hed")
        assert self.count(encoder) == 0

    def test_two_taps_of_one_encoder_do_not_meet(self, encoder: Small, images: Tensor) -> None:
        first, second = tap(encoder.eval(), "body", "head"), tap(encoder, "body", "out")
        assert first(images).global_.shape[1] == 5
        assert second(images).global_.shape[1] == 2
        second.remove()
        assert first(images).global_.shape[1] == 5


class TestCopies:
    def copies(self, features: Tap) -> list[Tap]:
        saved = io.BytesIO()
        torch.save(features, saved)
        saved.seek(0)
        loaded = torch.load(saved, weights_only=False)
        return [copy.deepcopy(features), pickle.loads(pickle.dumps(features)), loaded]

    def test_copies_work_and_are_independent(self, encoder: Small, images: Tensor) -> None:
        features = tap(encoder.eval(), "body", "head")
        expected = features(images)
        copies = self.copies(features)
        features.remove()
        with torch.no_grad():
            encoder.stem.weight.zero_()
        for other in copies:
            torch.testing.assert_close(other(images), expected)
            assert other.encoder is not encoder

    def test_hooks_of_a_copy_go_with_the_copy(self, encoder: Small) -> None:
        for other in self.copies(tap(encoder, "body")):
            inner = other.encoder
            assert len(inner.body._forward_hooks) == 1
            other.remove()
            assert len(inner.body._forward_hooks) == 0
        other = copy.deepcopy(tap(encoder, "body"))
        inner = other.encoder
        del other
        gc.collect()
        assert len(inner.body._forward_hooks) == 0

    def test_state_dict_moves_between_taps_and_encoders(self, encoder: Small, images: Tensor) -> None:
        features, other = tap(encoder.eval(), "body", "head"), tap(Small().eval(), "body", "head")
        other.load_state_dict(features.state_dict())
        torch.testing.assert_close(other(images), features(images))


def test_it_compiles_to_one_graph(encoder: Small, images: Tensor) -> None:
    torch.compiler.reset()
    features = tap(encoder, "body", "head")
    compiled = torch.compile(features, fullgraph=True, backend="eager")
    assert agrees(encoder, compiled, images)
    assert agrees(encoder, compiled, images + 1)
    assert features._recorder._store.run is None


def test_it_works_inside_distributed_data_parallel(encoder: Small, images: Tensor, tmp_path: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(tap(encoder, "body", "head"), find_unused_parameters=True)
        assert agrees(encoder, parallel, images)
        assert agrees(encoder, parallel, images + 1)
    finally:
        distributed.destroy_process_group()


def test_it_works_under_inference_mode(encoder: Small, images: Tensor) -> None:
    with torch.inference_mode():
        assert tap(encoder.eval(), "body")(images).local.shape[1] == 6


class TestErrors:
    def test_an_unknown_name_lists_close_ones(self, encoder: Small) -> None:
        with pytest.raises(ValueError, match=r"Small has no submodule 'boddy'; did you mean 'body'\?"):
            tap(encoder, "boddy")

    def test_a_name_like_no_other_lists_all(self, encoder: Small) -> None:
        with pytest.raises(ValueError, match="no submodule 'xyzzy'; it has stem, norm, inplace, body"):
            tap(encoder, "xyzzy")

    def test_a_name_must_be_a_string(self, encoder: Small) -> None:
        with pytest.raises(TypeError, match="must be the name of a submodule, got Conv2d"):
            tap(encoder, encoder.body)  # type: ignore[arg-type]

    @pytest.mark.parametrize("spec", ["body[0", "body]", "body[]", "body[0]x"])
    def test_brackets_must_close(self, encoder: Small, spec: str) -> None:
        with pytest.raises(ValueError, match="a layer must read name"):
            tap(encoder, spec)

    def test_a_layer_that_does_not_run(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(RuntimeError, match="layer 'unused' was not called"):
            tap(encoder, "body", "unused")(images)

    def test_a_layer_that_runs_twice(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(RuntimeError, match="layer 'shared' was called 2 times"):
            tap(encoder, "shared")(images)

    def test_a_layer_that_is_overwritten_in_place(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(RuntimeError, match="output of layer 'norm' was overwritten"):
            tap(encoder.eval(), "norm")(images)

    def test_a_local_layer_without_locations(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(ValueError, match=r"layer 'head' must give local features .* got \(4, 5\)"):
            tap(encoder, "head")(images)

    def test_a_global_layer_without_channels(self, images: Tensor) -> None:
        encoder = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(0))
        with pytest.raises(ValueError, match=r"the encoder's output must give global features \(N, d\), got \("):
            tap(encoder, "0")(images)

    @pytest.mark.parametrize("layout", ["NC", "NPP", "CP", "NCC", ""])
    def test_a_layout_that_is_none(self, encoder: Small, layout: str) -> None:
        with pytest.raises(ValueError, match="local_layout must name each axis"):
            tap(encoder, "body", local_layout=layout)

    def test_a_layout_of_another_rank(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(ValueError, match=r"local_layout 'NPC' does not fit .* \(4, 6, 4, 4\)"):
            tap(encoder, "body", local_layout="NPC")(images)


class Checkpointed(nn.Module):
    """An encoder whose stem runs inside a checkpoint, or inside torch.no_grad if ``reentrant`` is None."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        if self.reentrant is None:
            with torch.no_grad():
                maps = self.stem(images)
        else:
            maps = checkpoint(self.stem, images, use_reentrant=self.reentrant)
        return self.head(maps.mean((2, 3)))


class TestSilentLosses:
    """Cases that once gave wrong values, or no gradient, without an error."""

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
    def test_overwriting_is_seen_in_every_mode(self, encoder: Small, images: Tensor, mode: Any) -> None:
        nn.init.constant_(encoder.norm.bias, -0.5)  # so that the ReLU has something to change
        with mode(), pytest.raises(RuntimeError, match="output of layer 'norm' was overwritten"):
            tap(encoder.eval(), "norm")(images)

    def test_in_inference_mode_a_later_layer_may_write_what_is_there(self, images: Tensor) -> None:
        encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(inplace=True), nn.Flatten())
        with torch.inference_mode():
            assert torch.equal(tap(encoder, "1")(images).local, encoder[0](images).relu())
            nn.init.constant_(encoder[0].bias, torch.nan)
            assert tap(encoder, "0")(images).local.isnan().all()  # NaN is no change

    @pytest.mark.parametrize("layer", ["stem", "stem.0", "stem.1"])
    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_a_reentrant_checkpoint_is_refused(self, images: Tensor, layer: str) -> None:
        with pytest.raises(RuntimeError, match=f"layer '{layer}' ran inside .*pass use_reentrant=False"):
            tap(Checkpointed(reentrant=True), layer, "head")(images)

    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_where_nothing_learns_a_reentrant_checkpoint_will_do(self, images: Tensor) -> None:
        encoder = Checkpointed(reentrant=True)
        with torch.no_grad():
            assert not tap(encoder, "stem", "head")(images).local.requires_grad
        assert not tap(encoder.requires_grad_(False), "stem", "head")(images).local.requires_grad

    def test_other_checkpoints_and_no_grad_are_as_asked(self, images: Tensor) -> None:
        encoder = Checkpointed(reentrant=False)
        tap(encoder, "stem", "head")(images).local.sum().backward()
        assert encoder.stem[0].weight.grad.any()
        assert not tap(Checkpointed(reentrant=None), "stem", "head")(images).local.requires_grad


class TestTaps:
    def test_outputs_come_by_name_in_order(self, encoder: Small, images: Tensor) -> None:
        outputs = taps(encoder.eval(), {"hidden": "head", "map": "body", "mean": "head[:, :2]"})(images)
        assert {name: tuple(value.shape) for name, value in outputs.items()} == {
            "hidden": (4, 5),
            "map": (4, 6, 4, 4),
            "mean": (4, 2),
        }

    def test_one_name_is_enough(self, encoder: Small, images: Tensor) -> None:
        assert list(taps(encoder, "head")(images)) == ["head"]

    def test_no_layers(self, encoder: Small) -> None:
        with pytest.raises(ValueError, match="at least one layer, got none"):
            taps(encoder, [])


class TestFeatureShapes:
    def test_of_a_tap(self, encoder: Small, images: Tensor) -> None:
        encoder.norm.eval()
        before = copy.deepcopy(encoder.state_dict())
        shapes = feature_shapes(tap(encoder, "body", "head"), images[:1])
        assert shapes._asdict() == {"local_dim": 6, "local_size": (4, 4), "global_dim": 5}
        assert encoder.training
        assert not encoder.norm.training
        assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())

    def test_of_a_module_that_returns_something_else(self, encoder: Small, images: Tensor) -> None:
        with pytest.raises(TypeError, match="must return local and global features, got Tensor; use tap"):
            feature_shapes(encoder, images)


def test_a_write_to_another_output_of_the_layer_is_none_to_this_one() -> None:
    class Both(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return 2 * x, 3 * x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = Both()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = self.both(x)
            second += 1
            return first

    x = torch.ones(2, 3, 4)
    net = Net()
    assert torch.equal(tap(net, local="both[0]", global_="both[0][:, :2]", local_layout="NCP")(x).local, 2 * x)
    with pytest.raises(RuntimeError, match="was overwritten"):
        tap(net, local="both[1]", global_="both[0]", local_layout="NCP")(x)
    with pytest.raises(RuntimeError, match="was overwritten"):
        tap(net, local="both[1][:, :2]", global_="both[0]", local_layout="NCP")(x)
