"""The library's own encoder, `conv32` with twice the channels: its parameters and sizes."""

from __future__ import annotations

import pytest
import torch

from infomax import encoders
from infomax.encoders import Bottleneck

# Weights of three convolutions and the hidden layer, weights and bias of y, and 2 per normalised channel.
PARAMETERS = (3 * 128 + 128 * 256 + 256 * 512) * 16 + 8192 * 1024 + (1024 * 64 + 64) + 2 * (128 + 256 + 512 + 1024)


def test_it_is_conv32_with_twice_the_channels() -> None:
    wide, paper = encoders.build("wide32"), encoders.conv32()
    assert sum(parameter.numel() for parameter in wide.parameters()) == PARAMETERS
    assert (wide.local_dim, wide.local_size) == (2 * paper.local_dim, paper.local_size)
    local, global_ = wide(torch.rand(2, 3, 32, 32))
    assert tuple(local.shape) == (2, 256, 8, 8)
    assert tuple(wide.conv(local).shape) == (2, 512, 4, 4)
    assert tuple(global_.shape) == (2, 64)


@pytest.mark.parametrize("wrong", [{"input_channels": 0}, {"global_dim": -1}])
def test_bad_sizes_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        encoders.wide32(**wrong)


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"width": -1}, {"stride": 0}])
def test_bad_sizes_of_a_bottleneck_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Bottleneck(**{"channels": 4, "width": 4, **wrong})
