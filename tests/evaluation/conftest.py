"""A small encoder that several measures are taken of."""

from __future__ import annotations

import pytest

from infomax.encoders import Conv, ConvEncoder


@pytest.fixture
def encoder() -> ConvEncoder:
    """Images of 6 x 6 pixels to 8 numbers."""
    return ConvEncoder(
        local=[Conv(3, 3, 1, 1)], conv=[Conv(4, 4, 2, 1)], fc=[16], input_size=6, input_channels=1, global_dim=8
    )
