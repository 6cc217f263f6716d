"""What a caller may force: the backend and the workspace, in this thread, for the length of a ``with``."""

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
"""The default workspace on a GPU is its memory divided by this, and no less than elsewhere."""
SMALLEST_WORKSPACE = 2**16


class _Settings(threading.local):
    # threading.local rather than a context variable: torch.compile traces through its assignment
    # and guards on what was read.
    backend: str | None = None
    workspace: int | None = None


_settings = _Settings()


def forced_backend() -> str | None:
    """Return the backend that `use_backend` forces in this thread, or None."""
    return _settings.backend


def workspace(device: torch.device) -> int:
    """Return the bytes that blocks of scores may take in this thread: as forced, or by the size of the device alone."""
    if _settings.workspace is not None:
        return _settings.workspace
    if device.type != "cuda":
        return DEFAULT_WORKSPACE
    return max(DEFAULT_WORKSPACE, torch.cuda.get_device_properties(device).total_memory // GPU_SHARE)


class Forced(NamedTuple):
    """What a caller forces at one moment, to be forced again elsewhere by :func:`forced_again`."""

    backend: str | None
    workspace: int | None


def forced_now() -> Forced:
    """Return what this thread forces."""
    return Forced(_settings.backend, _settings.workspace)


@contextmanager
def forced_again(forced: Forced) -> Iterator[None]:
    """Force what another thread did: a backward pass may run in a thread of autograd's own."""
    previous = forced_now()
    _settings.backend, _settings.workspace = forced
    try:
        yield
    finally:
        _settings.backend, _settings.workspace = previous


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    r"""Force the implementation of the pairwise ops inside a ``with``.

    Without it the backend follows from the tensors. On CUDA it is ``"blockwise"``. It is ``"triton"`` there for half
    precision of up to 128 features, a multiple of 16, and where ``"blockwise"`` cannot run: the workspace is too small,
    or the precision half and torch older than 2.8. It is ``"chunked"`` elsewhere, for float64, and for ``"square_sum"``
    and ``"pearson"`` in float16.

    A forced backend runs, or the op raises with the reason why it cannot. Blocks nest; the choice holds for the calling
    thread. On CUDA, autograd runs backward passes in a thread of its own, where `torch.utils.checkpoint` computes again
    with the choice by tensors. Under `torch.compile` the choice is read while tracing, and a change recompiles.

    Args:
        name: ``"reference"``, ``"chunked"``, ``"triton"``, ``"blockwise"``, or None for the choice by tensors.

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
            "None chooses by the tensors."
        )
    previous = _settings.backend
    _settings.backend = name
    try:
        yield
    finally:
        _settings.backend = previous


@contextmanager
def use_workspace(size: int) -> Iterator[None]:
    r"""Bound the memory of blocks of scores inside a ``with``.

    The chunked and the blockwise backend keep the whole table for the backward pass when it fits (three matrix
    products in all), and compute it again block by block when it does not (four). Results agree to rounding for any
    size.

    Args:
        size: Bytes, at least 65536. The default is 64 MiB, and on a GPU the 32nd part of its memory where that is more:
            2.5 GiB of 80.

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
            f"use_workspace: size must be an integer number of bytes of at least {SMALLEST_WORKSPACE}, "
            f"got {size!r}; the default is {DEFAULT_WORKSPACE}."
        )
    previous = _settings.workspace
    _settings.workspace = int(size)
    try:
        yield
    finally:
        _settings.workspace = previous
