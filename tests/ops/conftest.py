"""Backends as one parametrised fixture; Triton runs through its interpreter where there is no GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from infomax.ops import use_backend

KERNELS = ("triton", "blockwise")
"""The backends made of Triton kernels."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread, because the problems are so tiny that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["reference", "chunked", "triton", "blockwise"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Force each backend in turn."""
    if request.param in KERNELS:
        pytest.importorskip("triton")
        if torch.cuda.is_available():
            pytest.skip("runs compiled, under the marker cuda")
    with use_backend(request.param):
        yield request.param
