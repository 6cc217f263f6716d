"""The settings that a caller may force in one thread within a ``with`` block: the backend and the workspace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import NamedTuple

import torch

__all__ = [
    "BACKENDS",
    "DEFAULT_WORKSPACE",
    "Forced",
    "forced_again",
    "forced_backend",
    "forced_now",
    "use_backend",
    "use_workspace",
    "workspace",
]

BACKENDS = ("reference", "chunked", "triton", "blockwise")
DEFAULT_WORKSPACE = 64 * 2**20
GPU_SHARE = 32
"""The default workspace on a GPU is its memory divided by this, but at least `DEFAULT_WORKSPACE`."""
SMALLEST_WORKSPACE = 2**16


class _Settings(threading.local):
    # threading.local rather than a context variable: torch.compile can trace its assignments and guards on the values
    # that were read.
    backend: str | None = None
    workspace: int | None = None


_settings = _Settings()


def forced_backend() -> str | None:
    """Return the backend that `use_backend` forces in this thread, or None."""
    return _settings.backend


def workspace(device: torch.device) -> int:
    """Return the workspace of this thread in bytes: the forced one, or a default that depends only on the device."""
    if _settings.workspace is not None:
        return _settings.workspace
    if device.type != "cuda":
        return DEFAULT_WORKSPACE
    return max(DEFAULT_WORKSPACE, torch.cuda.get_device_properties(device).total_memory // GPU_SHARE)


class Forced(NamedTuple):
    """The settings that are forced at one moment, for :func:`forced_again`."""

    backend: str | None
    workspace: int | None


def forced_now() -> Forced:
    """Return the settings that are forced in this thread."""
    return Forced(_settings.backend, _settings.workspace)


@contextmanager
def forced_again(forced: Forced) -> Iterator[None]:
    """Force the settings of another thread, since autograd may run a backward pass in a thread of its own."""
    previous = forced_now()
    _settings.backend, _settings.workspace = forced
    try:
        yield
    finally:
        _settings.backend, _settings.workspace = previous


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    r"""Force the implementation of the pairwise ops inside a ``with`` block.

    Without this setting, the tensors determine the backend. On CUDA with Triton it is ``"triton"`` for half precision
    with up to 128 features, a multiple of 16, and ``"blockwise"`` otherwise. If ``"blockwise"`` cannot run, because the
    workspace is too small or because torch is older than 2.8 in half precision, it is ``"triton"``. On other devices,
    without Triton, for float64, and for ``"square_sum"`` and ``"pearson"`` in float16, it is ``"chunked"``.

    If a forced backend cannot run, the op raises an error with the reason. Blocks can be nested, and the setting holds
    for the calling thread. On CUDA, autograd runs backward passes in a separate thread: a forward pass that
    `torch.utils.checkpoint` recomputes there uses the default choice. `torch.compile` reads the setting while tracing,
    and a change of the setting recompiles.

    Args:
        name: ``"reference"``, ``"chunked"``, ``"triton"``, ``"blockwise"``, or None for the default choice.

    Raises:
        ValueError: The name is not a backend.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_logsumexp, use_backend
        >>> query, key = torch.randn(4, 8), torch.randn(10, 8)
        >>> with use_backend("reference"):
        ...     dense = pairwise_logsumexp(query, key)
        >>> torch.allclose(dense, pairwise_logsumexp(query, key), atol=1e-5)
        True
    """
    if name is not None and name not in BACKENDS:
        raise ValueError(
            f"use_backend: name must be one of {', '.join(map(repr, BACKENDS))} or None, got {name!r}; "
            "None restores the default choice."
        )
    previous = _settings.backend
    _settings.backend = name
    try:
        yield
    finally:
        _settings.backend = previous


@contextmanager
def use_workspace(size: int) -> Iterator[None]:
    r"""Bound the memory of blocks of scores inside a ``with`` block.

    The chunked backend, and the blockwise backend in float32, keep the whole table for the backward pass if it fits,
    which takes three matrix products in all. If it does not fit, they compute it again block by block, which takes
    four. Results for different sizes agree to rounding.

    Args:
        size: Bytes, at least 65536. The default is 64 MiB. On a GPU it is 1/32 of the device memory if that is more,
            for example 2.5 GiB of 80 GiB.

    Raises:
        ValueError: The size is not an integer of at least 65536.

    Example:
        >>> import torch
        >>> from infomax.ops import pairwise_logsumexp, use_workspace
        >>> with use_workspace(2**20):
        ...     pairwise_logsumexp(torch.zeros(2, 3), torch.zeros(8, 3))
        tensor([2.0794, 2.0794])
    """
    given: object = size
    if not isinstance(given, Integral) or isinstance(given, bool) or not SMALLEST_WORKSPACE <= int(given) < 2**63:
        raise ValueError(
            f"use_workspace: size must be an integer number of bytes of at least {SMALLEST_WORKSPACE}, got {size!r}."
        )
    previous = _settings.workspace
    _settings.workspace = int(size)
    try:
        yield
    finally:
        _settings.workspace = previous
