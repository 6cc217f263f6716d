"""The choice of a backend from the tensors, or by force; a forced backend that cannot run raises with the reason."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from infomax.ops.blockwise import plan
from infomax.ops.blockwise.products import WIDE_PRODUCTS
from infomax.ops.chunked import plan as chunked_plan
from infomax.ops.problem import Problem, count_keys
from infomax.ops.settings import forced_backend

__all__ = ["Implementation", "choose", "implementation", "may_keep", "saved_size", "takes_map"]

_MODULES = {
    "reference": "infomax.ops.reference",
    "chunked": "infomax.ops.chunked",
    "triton": "infomax.ops.triton",
    "blockwise": "infomax.ops.blockwise.passes",
    "pairs": "infomax.ops.pairs",  # for calls that reduce nothing; cannot be forced
}
_TRITON_INSTALLED = find_spec("triton") is not None
# The largest number of features, by bytes per element, for which the streaming kernels of `triton` are chosen. Up to
# there, their five products should take less time than the four products of `blockwise` plus the writing and reading of
# its weights. On an H100, launches limit both at the sizes that were measured (docs/gpu.md). The number of queries does
# not matter: with too few to fill a tile, both backends slow down in proportion.
_NARROW = {2: 128, 4: 0}


class Implementation(Protocol):
    """The functions that the module of a backend provides."""

    def forward(self, problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reduction ``(M,)``, the joint scores ``(J,)`` and what else backward needs."""

    def backward(
        self,
        problem: Problem,
        grad_value: Tensor | None,
        grad_joint: Tensor | None,
        value: Tensor,
        saved: Tensor,
        need_query: bool,
        need_key: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of query and key, or an empty tensor for one that is not needed."""


def implementation(name: str) -> Implementation:
    """Import a backend by name. Triton is imported here and nowhere else."""
    return cast("Implementation", import_module(_MODULES[name]))


def choose(query: Tensor, reduction: str, space: int) -> str:
    """Return the forced backend, or the one that suits the tensors.

    Args:
        query: ``(M, d)``; the keys have the same d, dtype and device.
        reduction: One of `REDUCTIONS`.
        space: Bytes of the workspace.

    Raises:
        RuntimeError: The forced backend cannot run on these tensors.
    """
    forced = forced_backend()
    if forced is None:
        if query.device.type != "cuda" or _kernels_obstacle(query, reduction) is not None:
            return "chunked"
        # Rows whose length is not a multiple of 16 are loaded one feature at a time, and the streaming kernels then run
        # out of registers.
        wide = query.shape[1] > _NARROW[query.dtype.itemsize] or query.shape[1] % 16 != 0
        return "blockwise" if wide and _blockwise_obstacle(query, space) is None else "triton"
    obstacle = _kernels_obstacle(query, reduction) if forced in ("triton", "blockwise") else None
    if obstacle is None and forced == "blockwise":
        obstacle = _blockwise_obstacle(query, space)
    if obstacle is not None:
        raise RuntimeError(f'use_backend("{forced}"): {obstacle}; use_backend(None) restores the default choice.')
    return forced


def _kernels_obstacle(query: Tensor, reduction: str) -> str | None:
    if not _TRITON_INSTALLED:
        return "Triton is not installed"
    if query.dtype == torch.float64:
        return "its kernels compute in float32 and do not support float64"
    if query.dtype == torch.float16 and reduction in ("square_sum", "pearson"):
        return "its weights grow with the scores and may overflow float16"
    if query.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"its kernels run on CUDA (elsewhere only interpreted, under TRITON_INTERPRET=1), got {query.device}"
    return None


def _blockwise_obstacle(query: Tensor, space: int) -> str | None:
    if query.device.type == "cuda" and query.dtype != torch.float32 and not WIDE_PRODUCTS:
        return f"torch {torch.__version__} rounds products of halves to halves on CUDA, torch 2.8 does not"
    return plan.obstacle(query, space)


def may_keep(backend: str, query: Tensor, key: Tensor, reduction: str, space: int) -> bool:
    """Say whether a backend saves its table for the backward pass, which saves one of the four matrix products."""
    if backend == "chunked":
        return chunked_plan.may_keep(query, key, space)
    sizes = (query.shape[0], count_keys(key))
    return backend == "blockwise" and plan.may_keep(*sizes, reduction, query.dtype, space)


def saved_size(backend: str, query: Tensor, key: Tensor, reduction: str) -> int:
    """Return how many elements a backend saves when it keeps its table."""
    rows, keys = query.shape[0], count_keys(key)
    if backend == "blockwise":
        return plan.kept_size(rows, keys, reduction)
    return chunked_plan.kept_size(rows, keys)


def takes_map(backend: str, key: Tensor) -> bool:
    """Say whether a backend reads a map ``(N, d, P)`` directly; if not, its locations must be copied to rows."""
    return backend == "chunked" and chunked_plan.takes_map(key)
