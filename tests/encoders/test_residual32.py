"""Our own encoder: the sizes of the paper's, its two blocks against functions, its parameters by count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from infomax import encoders
from infomax.encoders import BasicBlock

BLOCKS = sum(2 * (9 * c * c) + 2 * (2 * c) for c in (128, 256))  # two kernels of 3x3 and two batch norms each


def block_by_hand(block: BasicBlock, x: Tensor) -> Tensor:
    """In training mode: statistics of the batch, weights of 1 and 0."""
    f = nn.functional
    first, _, _, second, _ = block.layers
    inside = f.batch_norm(f.conv2d(x, first.weight, padding=1), None, None, training=True).clamp(min=0)
    return (f.batch_norm(f.conv2d(inside, second.weight, padding=1), None, None, training=True) + x).clamp(min=0)


def test_the_sizes_are_those_of_conv32() -> None:
    ours, paper = encoders.build("residual32", input_channels=1, global_dim=7), encoders.conv32(input_channels=1)
    assert (ours.local_dim, ours.local_size, ours.input_size) == (paper.local_dim, paper.local_size, paper.input_size)
    local, global_ = ours(torch.rand(2, 1, 32, 32))
    assert tuple(local.shape) == (2, 128, 8, 8)
    assert tuple(ours.conv(local).shape) == (2, 256, 4, 4)
    assert tuple(global_.shape) == (2, 7)


def test_it_is_conv32_and_two_blocks() -> None:
    ours, paper = encoders.residual32(), encoders.conv32()
    count = [sum(p.numel() for p in encoder.parameters()) for encoder in (ours, paper)]
    assert count[0] == count[1] + BLOCKS
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32)
    local = block_by_hand(ours.local.block, ours.local.strided(images))
    torch.testing.assert_close(ours(images).local, local, rtol=1e-4, atol=1e-5)
    conv = block_by_hand(ours.conv.block, ours.conv.strided(local))
    torch.testing.assert_close(ours.conv(local), conv, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    encoder = encoders.residual32()
    local, global_ = encoder(torch.rand(4, 3, 32, 32))
    (local.sum() + global_.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("wrong", [{"input_channels": 0}, {"global_dim": -1}])
def test_bad_sizes_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        encoders.residual32(**wrong)
    with pytest.raises(ValueError, match="channels"):
        BasicBlock(0)
