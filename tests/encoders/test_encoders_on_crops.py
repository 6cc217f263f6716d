"""The paper's encoders on crops: shapes, parameters and layers are compared with tables written by hand."""

from __future__ import annotations

import pytest
import torch
from contracts.limits import check_crops_are_alone
from torch import Tensor, nn

from infomax import LocalDIMLoss, encoders
from infomax.encoders import Bottleneck, StagedEncoder
from infomax.evaluation import extract_features

# Shapes of the images, of local and conv, of fc and of y; size and stride of the crops.
SHAPES = {
    ("resnet32-crops", "one"): ((3, 32, 32), (1024, 7, 7), (1024,), (64,), (8, 4)),
    ("resnet32-crops", "many"): ((3, 32, 32), (1024, 7, 7), (1024, 5, 5), (64, 5, 5), (8, 4)),
    ("alexnet64-crops", "one"): ((3, 64, 64), (192, 7, 7), (4096,), (64,), (16, 8)),
    ("alexnet64-crops", "many"): ((3, 64, 64), (192, 7, 7), (192, 5, 5), (64, 5, 5), (16, 8)),
}


def bottleneck(channels: int, width: int, *, shortcut: bool) -> int:
    """Count the weights of three convolutions, and 2 per normalised channel; a projection shortcut adds its own."""
    inside = channels * width + 9 * width * width + width * 4 * width + 2 * (width + width + 4 * width)
    return inside + (channels * 4 * width + 2 * 4 * width if shortcut else 0)


RESNET = (
    (3 * 64 * 9 + 2 * 64)
    + bottleneck(64, 64, shortcut=True)
    + bottleneck(256, 64, shortcut=False)
    + bottleneck(256, 128, shortcut=True)
    + bottleneck(512, 128, shortcut=False)
    + bottleneck(512, 256, shortcut=True)
    + bottleneck(1024, 256, shortcut=False)
)
ALEXNET = (3 * 96 + 96 * 192 + 192 * 384 + 384 * 384 + 384 * 192) * 9 + 2 * (96 + 192 + 384 + 384 + 192)
PARAMETERS = {
    ("resnet32-crops", "one"): RESNET + 7 * 7 * 1024 * 1024 + 2 * 1024 + (1024 * 64 + 64),
    ("resnet32-crops", "many"): RESNET + 1024 * 1024 * 9 + 2 * 1024 + (1024 * 64 + 64),
    ("alexnet64-crops", "one"): ALEXNET
    + (192 * 384 * 9 + 2 * 384)
    + (384 * 3 * 3 * 4096 + 2 * 4096)
    + (4096 * 64 + 64),
    ("alexnet64-crops", "many"): ALEXNET + 192 * 192 * 9 + 2 * 192 + (192 * 64 + 64),
}

KINDS = list(SHAPES)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def built(request: pytest.FixtureRequest) -> tuple[tuple[str, str], StagedEncoder]:
    torch.manual_seed(0)
    name, globals_ = request.param
    return request.param, encoders.build(name, globals_=globals_)


def test_shapes_are_the_papers(built: tuple[tuple[str, str], StagedEncoder]) -> None:
    kind, encoder = built
    image, local_shape, fc_shape, y_shape, _ = SHAPES[kind]
    local, global_ = encoder.train()(torch.rand(2, *image))
    assert tuple(local.shape) == (2, *local_shape)
    assert tuple(encoder.fc(encoder.conv(local)).shape) == (2, *fc_shape)
    assert tuple(global_.shape) == (2, *y_shape)
    assert (encoder.local_dim, *encoder.local_size) == local_shape
    assert (encoder.input_channels, *encoder.input_size) == image
    assert encoder.global_dim == y_shape[0]


def test_parameters_counted_by_hand(built: tuple[tuple[str, str], StagedEncoder]) -> None:
    kind, encoder = built
    assert sum(parameter.numel() for parameter in encoder.parameters()) == PARAMETERS[kind]


def test_no_location_sees_beyond_its_crop(built: tuple[tuple[str, str], StagedEncoder]) -> None:
    kind, encoder = built
    if kind[1] == "many":  # the local map is that of "one"
        return
    image, *_, (crop_size, stride) = SHAPES[kind]
    side = image[1]
    encoder.eval()
    # The corner of the image, a pixel inside, and one in the last row.
    pixels = [(0, 0), (side // 2 + 1, 3), (side - 1, side // 2)]
    with torch.no_grad():
        check_crops_are_alone(encoder.local, torch.rand(1, *image), crop_size, stride, pixels)


def test_the_objective_and_the_evaluation_take_it(built: tuple[tuple[str, str], StagedEncoder]) -> None:
    kind, encoder = built
    encoder.train()
    image, _, fc_shape, y_shape, _ = SHAPES[kind]
    loss_fn = LocalDIMLoss(encoder.local_dim, encoder.global_dim, units=8)
    encoder.zero_grad()
    loss_fn(*encoder(torch.rand(2, *image))).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder.zero_grad()
    features, _ = extract_features(encoder, torch.rand(2, *image))
    widths = {layer: values.shape[1] for layer, values in features.items()}
    flat = {"fc": torch.tensor(fc_shape).prod().item(), "y": torch.tensor(y_shape).prod().item()}
    assert widths == {"conv": encoder.local_dim * 49, **flat}


def by_hand(block: Bottleneck, x: Tensor, stride: int) -> Tensor:
    """Compute a bottleneck block in training mode, with functions only."""

    def norm(y: Tensor) -> Tensor:
        mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
        return (y - mean) / (variance + 1e-5).sqrt()

    f = nn.functional
    first, second, third = (layer.weight for layer in block.layers if isinstance(layer, nn.Conv2d))
    y = norm(f.conv2d(x, first)).relu()
    y = norm(f.conv2d(y, second, stride=stride, padding=1)).relu()
    y = norm(f.conv2d(y, third))
    if isinstance(block.shortcut, nn.Sequential):
        x = norm(f.conv2d(x, block.shortcut[0].weight, stride=stride))
    return (y + x).relu()


@pytest.mark.parametrize(("channels", "stride"), [(16, 1), (6, 1), (16, 2)])
def test_a_bottleneck_equals_the_formula(channels: int, stride: int) -> None:
    torch.manual_seed(0)
    block = Bottleneck(channels, 4, stride).double()
    x = torch.randn(3, channels, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), by_hand(block, x, stride))
    assert isinstance(block.shortcut, nn.Identity) == ((channels, stride) == (16, 1))


def test_the_formula_check_refuses_another_order() -> None:
    torch.manual_seed(0)
    block = Bottleneck(16, 4).double()
    x = torch.randn(3, 16, 6, 6, dtype=torch.float64)
    block.layers.append(nn.ReLU())
    with pytest.raises(AssertionError):
        torch.testing.assert_close(block(x), by_hand(block, x, 1))


def test_the_resnet_has_nineteen_layers() -> None:
    """The layers are the stem and six blocks of three, with strides and widths in the paper's order."""
    stages = encoders.build("resnet32-crops", globals_="many").local.encoder
    blocks = [stage for stage in stages if isinstance(stage, Bottleneck)]
    convolutions = [[layer for layer in block.layers if isinstance(layer, nn.Conv2d)] for block in blocks]
    assert [layers[1].out_channels for layers in convolutions] == [64, 64, 128, 128, 256, 256]
    assert [layers[1].stride[0] for layers in convolutions] == [1, 1, 2, 1, 2, 1]
    assert 1 + sum(map(len, convolutions)) == 19


class TestRefusals:
    def test_several_globals_of_an_encoder_with_one(self) -> None:
        with pytest.raises(ValueError, match=r"globals_ must be 'one' for conv32, got 'many'.*alexnet64-crops"):
            encoders.build("conv32", globals_="many")

    def test_another_word(self) -> None:
        with pytest.raises(ValueError, match="globals_ must be one of many, one, got 'two'"):
            encoders.build("resnet32-crops", globals_="two")

    @pytest.mark.parametrize("build", [encoders.resnet32_crops, encoders.alexnet64_crops])
    def test_sizes(self, build: type) -> None:
        with pytest.raises(ValueError, match="global_dim must be at least 1, got 0"):
            build(global_dim=0)
        with pytest.raises(ValueError, match="input_channels must be at least 1, got 0"):
            build(input_channels=0)

    def test_images_of_another_size(self) -> None:
        with pytest.raises(ValueError, match=r"images must have shape \(N, 3, 64, 64\), got \(2, 3, 32, 32\)"):
            encoders.build("alexnet64-crops", globals_="many")(torch.rand(2, 3, 32, 32))
