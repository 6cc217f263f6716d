"""A small encoder shared by the tests of several measures."""

from __future__ import annotations

import pytest

from infomax.encoders import Conv, ConvEncoder


@pytest.fixture
def encoder() -> ConvEncoder:
    """Return an encoder from images of 6 x 6 pixels to global features of 8 numbers."""
    return ConvEncoder(
        local=[Conv(3, 3, 1, 1)], conv=[Conv(4, 4, 2, 1)], fc=[16], input_size=6, input_channels=1, global_dim=8
    )
