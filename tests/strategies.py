"""Hypothesis strategies for features of any layout that the library allows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

__all__ = ["Features", "features", "tables"]


class Features(NamedTuple):
    """Matching local and global features, with or without a mask."""

    local: Tensor
    global_: Tensor
    mask: Tensor | None


def _axes(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, 3), min_size=0, max_size=most).map(tuple)


@st.composite
def features(draw: st.DrawFn, *, masks: bool = True, smallest: int = 2, magnitude: float = 3.0) -> Features:
    """Draw float64 features: N examples with up to 3 spatial axes, up to two axes of globals, in any memory layout."""
    examples = draw(st.integers(smallest, 5))
    channels = draw(st.integers(1, 4))
    spatial, spatial_globals = draw(_axes(3)), draw(_axes(2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.floats(0.1, magnitude))

    def make(shape: tuple[int, ...]) -> Tensor:
        tensor = size * torch.randn(shape, generator=generator, dtype=torch.float64)
        memory = draw(st.sampled_from(["contiguous", "channels last", "strided", "transposed"]))
        if memory == "channels last":
            return tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        if memory == "strided":
            return torch.stack([tensor, -tensor], -1)[..., 0]
        if memory == "transposed":
            return tensor.transpose(0, 1).contiguous().transpose(0, 1)
        return tensor

    mask = None
    if masks and draw(st.booleans()):
        mask = torch.rand((examples, *spatial), generator=generator) < 0.7
        mask.view(examples, -1)[:2, 0] = True
    return Features(make((examples, channels, *spatial)), make((examples, channels, *spatial_globals)), mask)


@st.composite
def tables(draw: st.DrawFn, *, magnitude: float = 4.0) -> Tensor:
    """Draw a float64 table of scores (N, Q, N, P)."""
    n, q, p = draw(st.integers(2, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return draw(st.floats(0.1, magnitude)) * torch.randn((n, q, n, p), generator=generator, dtype=torch.float64)
