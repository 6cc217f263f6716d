"""Properties of any stack of convolutions: sizes, memory format, compilation, copies, bad input."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

from infomax.encoders import Conv, ConvEncoder, StagedEncoder, conv28, conv32
from infomax.features import Features


def small(**options: object) -> ConvEncoder:
    settings = {"local": [Conv(4, 3, 1, 1), Conv(6, 4, 2, 1)], "conv": [Conv(5, 4, 2, 1)], "fc": [8]}
    return ConvEncoder(**{**settings, "input_size": 8, "input_channels": 2, "global_dim": 3, **options})


layers = st.builds(
    Conv,
    channels=st.integers(1, 4),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    pool=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 2)),
)


@settings(max_examples=40, deadline=None)
@given(
    local=st.lists(layers, min_size=1, max_size=2),
    conv=st.lists(layers, max_size=2),
    size=st.tuples(st.integers(12, 20), st.integers(12, 20)),
)
def test_sizes_worked_out_are_the_sizes_that_come(local: list[Conv], conv: list[Conv], size: tuple[int, int]) -> None:
    try:
        encoder = ConvEncoder(local=local, conv=conv, fc=[4], input_size=size, input_channels=1, global_dim=2)
    except ValueError:  # the map would be empty
        reject()
    features = encoder(torch.rand(2, 1, *size))
    assert isinstance(features, Features)
    assert tuple(features.local.shape) == (2, encoder.local_dim, *encoder.local_size)
    assert tuple(features.global_.shape) == (2, 2)


def test_it_unpacks_and_has_names() -> None:
    features = small()(torch.rand(2, 2, 8, 8))
    local, global_ = features
    assert local is features.local
    assert global_ is features.global_


def test_global_feature_follows_from_the_local_one() -> None:
    encoder = small().eval()
    local, global_ = encoder(torch.rand(2, 2, 8, 8))
    torch.testing.assert_close(global_, encoder.y(encoder.fc(encoder.conv(local))))


def test_gradients_reach_every_parameter() -> None:
    encoder = small()
    local, global_ = encoder(torch.rand(4, 2, 8, 8))
    (local.sum() + global_.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("build", [conv28, conv32])
@pytest.mark.parametrize("where", ["images", "weights", "both"])
def test_channels_last_flows_to_the_local_map(build: type, where: str) -> None:
    encoder = build()
    images = torch.rand(2, encoder.input_channels, *encoder.input_size)
    plain = encoder.eval()(images)
    if where != "weights":
        images = images.to(memory_format=torch.channels_last)
    if where != "images":
        encoder = encoder.to(memory_format=torch.channels_last)
    features = encoder(images)
    if encoder.input_channels > 1 or where != "images":  # images of one channel have both formats
        assert features.local.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(features, plain, rtol=1e-4, atol=1e-5)


def test_contiguous_images_give_a_contiguous_map() -> None:
    assert small()(torch.rand(2, 2, 8, 8)).local.is_contiguous()


def test_autocast_and_double_precision() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert small()(torch.rand(2, 2, 8, 8)).local.dtype == torch.bfloat16
    assert small().double()(torch.rand(2, 2, 8, 8).double()).global_.dtype == torch.float64


def test_it_compiles_to_one_graph_for_any_batch_size() -> None:
    torch.compiler.reset()
    encoder = small()
    compiled = torch.compile(copy.deepcopy(encoder), fullgraph=True, backend="eager", dynamic=True)
    for batch in (4, 7):
        images = torch.rand(batch, 2, 8, 8)
        torch.testing.assert_close(compiled(images), encoder(images))


def test_copies_and_pickles_work_and_share_nothing() -> None:
    encoder = small().eval()
    images = torch.rand(2, 2, 8, 8)
    expected = encoder(images)
    copies = [copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))]
    fresh = small().eval()
    fresh.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        encoder.y.weight.zero_()
    for other in (*copies, fresh):
        torch.testing.assert_close(other(images), expected)


class TestBadInput:
    @pytest.mark.parametrize("shape", [(2, 8, 8), (2, 3, 8, 8), (2, 2, 8, 9), (2, 2, 8, 8, 1), ()])
    def test_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"images must have shape \(N, 2, 8, 8\), got \("):
            small()(torch.rand(shape))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.complex64])
    def test_another_dtype(self, dtype: torch.dtype) -> None:
        with pytest.raises(TypeError, match=rf"images must have a real floating dtype, got {dtype}"):
            small()(torch.zeros(2, 2, 8, 8, dtype=dtype))

    def test_no_tensor(self) -> None:
        with pytest.raises(TypeError, match=r"images must be a torch\.Tensor, got list"):
            small()([[1.0]])

    def test_another_device(self) -> None:
        with pytest.raises(ValueError, match="images must be on the device of the parameters, cpu, got meta"):
            small()(torch.rand(2, 2, 8, 8, device="meta"))

    def test_no_images(self) -> None:
        with pytest.raises(ValueError, match="at least one example, got 0"):
            small().eval()(torch.rand(0, 2, 8, 8))

    def test_one_image_is_too_few_to_train_on_but_enough_to_encode(self) -> None:
        encoder = small()
        with pytest.raises(ValueError, match=r"at least two examples while training.*encoder\.eval"):
            encoder(torch.rand(1, 2, 8, 8))
        assert tuple(encoder.eval()(torch.rand(1, 2, 8, 8)).global_.shape) == (1, 3)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"local": []}, "local must hold at least one layer"),
            ({"fc": []}, "fc must hold at least 1 size, got 0"),
            ({"fc": [8, 0]}, "fc must be at least 1, got 0"),
            ({"input_size": (8, 8, 8)}, r"input_size must be one number or \(height, width\)"),
            ({"input_size": 0}, "input_size must be at least 1, got 0"),
            ({"input_channels": 0}, "input_channels must be at least 1, got 0"),
            ({"global_dim": -1}, "global_dim must be at least 1, got -1"),
            ({"input_size": 1}, r"layer conv2 = .* gives an empty output for a 1x1 map"),
        ],
    )
    def test_options(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small(**options)


def staged(local: nn.Module, conv: nn.Module, fc: nn.Module, y: nn.Module) -> StagedEncoder:
    return StagedEncoder(
        local=local, conv=conv, fc=fc, y=y,
        input_size=(8, 8), input_channels=1, local_dim=4, local_size=(2, 2), global_dim=5,
    )  # fmt: skip


def test_one_image_trains_where_nothing_compares_examples() -> None:
    encoder = staged(nn.Conv2d(1, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    assert encoder(torch.rand(1, 1, 8, 8)).global_.shape == (1, 5)
    with_norm = staged(nn.Conv2d(1, 4, 4, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    with pytest.raises(ValueError, match="at least two examples while training"):
        with_norm(torch.rand(1, 1, 8, 8))
    with_norm.conv.eval()
    assert with_norm(torch.rand(1, 1, 8, 8)).global_.shape == (1, 5)


def test_stages_without_parameters() -> None:
    encoder = staged(nn.AvgPool2d(4), nn.Identity(), nn.Flatten(), nn.Identity())
    assert encoder(torch.rand(3, 1, 8, 8)).global_.shape == (3, 4)


def test_images_of_another_dtype_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"images must have the dtype of the param.*got torch.float64.* encoder.to"):
        conv32()(torch.rand(2, 3, 32, 32, dtype=torch.float64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv32()(torch.rand(2, 3, 32, 32, dtype=torch.bfloat16)).global_.isfinite().all()


def test_one_number_is_a_square_in_a_staged_encoder_too() -> None:
    parts = {"local": nn.Conv2d(1, 8, 4, 4), "conv": nn.ReLU(), "fc": nn.Flatten(), "y": nn.Linear(32, 5)}
    sizes = {"input_channels": 1, "local_dim": 8, "local_size": (2, 2), "global_dim": 5}
    assert tuple(StagedEncoder(**parts, input_size=8, **sizes)(torch.rand(2, 1, 8, 8)).global_.shape) == (2, 5)
    with pytest.raises(ValueError, match="input_size must be one number or"):
        StagedEncoder(**parts, input_size=(8, 8, 8), **sizes)
