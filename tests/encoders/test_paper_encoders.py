"""The paper's encoders: shapes, sizes and the order of layers are compared with tables written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from infomax import encoders
from infomax.encoders import ConvEncoder

# From the paper: shapes of images, local, conv and fc; convolutions as (kernel, stride, padding, channels, pooled).
SHAPES = {
    "conv28": ((1, 28, 28), (128, 7, 7), (128, 7, 7), (1024,)),
    "conv32": ((3, 32, 32), (128, 8, 8), (256, 4, 4), (1024,)),
    "conv64": ((3, 64, 64), (256, 8, 8), (512, 4, 4), (1024,)),
    "alexnet64": ((3, 64, 64), (384, 15, 15), (192, 7, 7), (4096,)),
}
CONVOLUTIONS = {
    "conv28": [(5, 2, 2, 64, False), (5, 2, 2, 128, False)],
    "conv32": [(4, 2, 1, 64, False), (4, 2, 1, 128, False), (4, 2, 1, 256, False)],
    "conv64": [(4, 2, 1, 64, False), (4, 2, 1, 128, False), (4, 2, 1, 256, False), (4, 2, 1, 512, False)],
    "alexnet64": [
        (3, 1, 1, 96, True),
        (3, 1, 1, 192, True),
        (3, 1, 1, 384, False),
        (3, 1, 1, 384, False),
        (3, 1, 1, 192, True),
    ],
}
# Weights of the convolutions and the hidden layers, weights and bias of y, and 2 per normalised channel.
PARAMETERS = {
    "conv28": 1 * 64 * 25 + 64 * 128 * 25 + 6272 * 1024 + 1024 * 64 + 64 + 2 * (64 + 128 + 1024),
    "conv32": (3 * 64 + 64 * 128 + 128 * 256) * 16 + 4096 * 1024 + (1024 * 64 + 64) + 2 * (64 + 128 + 256 + 1024),
    "conv64": (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) * 16
    + 8192 * 1024
    + (1024 * 64 + 64)
    + 2 * (64 + 128 + 256 + 512 + 1024),
    "alexnet64": (3 * 96 + 96 * 192 + 192 * 384 + 384 * 384 + 384 * 192) * 9
    + 9408 * 4096
    + 4096 * 4096
    + (4096 * 64 + 64)
    + 2 * (96 + 192 + 384 + 384 + 192 + 4096 + 4096),
}

NAMES = list(SHAPES)


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest) -> tuple[str, ConvEncoder]:
    torch.manual_seed(0)
    return request.param, encoders.build(request.param)


def by_hand(encoder: ConvEncoder, layers: list[tuple[int, int, int, int, bool]], images: Tensor) -> list[Tensor]:
    """Return the output of every convolution in training mode, computed with functions only."""
    f = nn.functional
    maps = []
    blocks = [*encoder.local, *(encoder.conv if isinstance(encoder.conv, nn.Sequential) else [])]
    for block, (kernel, stride, padding, channels, pooled) in zip(blocks, layers, strict=True):
        assert block.conv.weight.shape[0] == channels
        assert block.conv.weight.shape[2:] == (kernel, kernel)
        images = f.conv2d(images, block.conv.weight, stride=stride, padding=padding)
        mean, variance = images.mean((0, 2, 3), keepdim=True), images.var((0, 2, 3), unbiased=False, keepdim=True)
        images = ((images - mean) / (variance + 1e-5).sqrt()).relu()
        images = f.max_pool2d(images, 3, 2) if pooled else images
        maps.append(images)
    return maps


def test_shapes_are_the_papers(named: tuple[str, ConvEncoder]) -> None:
    name, encoder = named
    image, local_shape, conv_shape, fc_shape = SHAPES[name]
    local, global_ = encoder(torch.rand(2, *image))
    conv = encoder.conv(local)
    assert tuple(local.shape) == (2, *local_shape)
    assert tuple(conv.shape) == (2, *conv_shape)
    assert tuple(encoder.fc(conv).shape) == (2, *fc_shape)
    assert tuple(global_.shape) == (2, 64)


def test_attributes_say_what_comes_out(named: tuple[str, ConvEncoder]) -> None:
    name, encoder = named
    image, local_shape, _, _ = SHAPES[name]
    assert (encoder.local_dim, *encoder.local_size) == local_shape
    assert (encoder.input_channels, *encoder.input_size) == image
    assert encoder.global_dim == 64


def test_parameters_counted_by_hand(named: tuple[str, ConvEncoder]) -> None:
    name, encoder = named
    assert sum(parameter.numel() for parameter in encoder.parameters()) == PARAMETERS[name]


def test_convolutions_equal_the_formula(named: tuple[str, ConvEncoder]) -> None:
    name, encoder = named
    torch.manual_seed(1)
    images = torch.rand(3, *SHAPES[name][0])
    local = encoder.train()(images).local
    maps = by_hand(encoder, CONVOLUTIONS[name], images)
    torch.testing.assert_close(local, maps[len(encoder.local) - 1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(encoder.conv(local), maps[-1], rtol=1e-3, atol=1e-4)


def test_every_layer_but_y_is_normalised_and_rectified(named: tuple[str, ConvEncoder]) -> None:
    _, encoder = named
    blocks = [block for stage in (encoder.local, encoder.conv, encoder.fc) for block in stage.children()]
    orders = [[type(part) for part in block.children()] for block in blocks if isinstance(block, nn.Sequential)]
    for order in orders:
        assert order[:3] in (
            [nn.Conv2d, nn.BatchNorm2d, nn.ReLU],
            [nn.Linear, nn.BatchNorm1d, nn.ReLU],
        )
        assert order[3:] in ([], [nn.MaxPool2d])
    assert type(encoder.y) is nn.Linear
    assert encoder.y.bias is not None


def test_the_formula_check_refuses_another_network() -> None:
    torch.manual_seed(0)
    encoder = encoders.conv32()
    encoder.local.conv2.activation = nn.GELU()
    images = torch.rand(3, 3, 32, 32)
    maps = by_hand(encoder, CONVOLUTIONS["conv32"], images)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(encoder(images).local, maps[1], rtol=1e-3, atol=1e-4)
    with pytest.raises(AssertionError):
        by_hand(encoder, [(5, 2, 1, 64, False), (4, 2, 1, 128, False), (4, 2, 1, 256, False)], images)


class TestNames:
    def test_known_names_build(self) -> None:
        assert list(encoders.names()) == [*NAMES, "wide32", "resnet32-crops", "alexnet64-crops"]

    def test_options_reach_the_encoder(self) -> None:
        encoder = encoders.build("conv32", input_channels=2, global_dim=7)
        assert tuple(encoder(torch.rand(2, 2, 32, 32)).global_.shape) == (2, 7)

    def test_an_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(ValueError, match=r"name must be one of .*conv28.*'conv33'; did you mean 'conv3"):
            encoders.build("conv33")
