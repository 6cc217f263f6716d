"""Which implementation runs: chosen from the tensors, or forced, and then it runs or says why it cannot."""

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
    "pairs": "infomax.ops.pairs",  # where nothing is reduced; it cannot be forced
}
_TRITON_INSTALLED = find_spec("triton") is not None
# By bytes of an element, the most features for which the streaming kernels are chosen: their five products take less
# time there than the blockwise backend's four and the weights' way through memory. Measured on an H100.
# The number of queries does not enter: both lose in proportion where they fill no tile.
_NARROW = {2: 128, 4: 0}


class Implementation(Protocol):
    """What a backend's module offers."""

    def forward(self, problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reduction ``(M,)``, the joint scores ``(J,)`` and what backward needs besides them."""

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
        """Return the gradients of query and key; an empty tensor stands for one that is not needed."""


def implementation(name: str) -> Implementation:
    """Import a backend by name. Triton is imported here and nowhere else."""
    return cast("Implementation", import_module(_MODULES[name]))


def choose(query: Tensor, reduction: str, space: int) -> str:
    """Return the forced backend, or the one that suits the tensors.

    Args:
        query: ``(M, d)``; the keys are like it.
        reduction: One of `REDUCTIONS`.
        space: Bytes of the workspace.

    Raises:
        RuntimeError: The forced backend cannot run on them.
    """
    forced = forced_backend()
    if forced is None:
        if query.device.type != "cuda" or _kernels_obstacle(query, reduction) is not None:
            return "chunked"
        # Rows of an odd length load a feature at a time, for which the streaming kernels lack registers.
        wide = query.shape[1] > _NARROW[query.dtype.itemsize] or query.shape[1] % 16 != 0
        return "blockwise" if wide and _blockwise_obstacle(query, space) is None else "triton"
    obstacle = _kernels_obstacle(query, reduction) if forced in ("triton", "blockwise") else None
    if obstacle is None and forced == "blockwise":
        obstacle = _blockwise_obstacle(query, space)
    if obstacle is not None:
        raise RuntimeError(f'use_backend("{forced}"): {obstacle}; use_backend(None) chooses by the tensors.')
    return forced


def _kernels_obstacle(query: Tensor, reduction: str) -> str | None:
    if not _TRITON_INSTALLED:
        return "Triton is not installed"
    if query.dtype == torch.float64:
        return "its kernels accumulate in float32, got float64 tensors"
    if query.dtype == torch.float16 and reduction in ("square_sum", "pearson"):
        return "its weights grow with the scores and may pass what a float16 holds"
    if query.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"its kernels run on CUDA (elsewhere only interpreted, under TRITON_INTERPRET=1), got {query.device}"
    return None


def _blockwise_obstacle(query: Tensor, space: int) -> str | None:
    if query.device.type == "cuda" and query.dtype != torch.float32 and not WIDE_PRODUCTS:
        return f"torch {torch.__version__} rounds products of halves to halves on CUDA, torch 2.8 does not"
    return plan.obstacle(query, space)


def may_keep(backend: str, query: Tensor, key: Tensor, reduction: str, space: int) -> bool:
    """Say whether a backend saves its table of slopes: where it fits, and three products then do for four."""
    if backend == "chunked":
        return chunked_plan.may_keep(query, key, space)
    sizes = (query.shape[0], count_keys(key))
    return backend == "blockwise" and plan.may_keep(*sizes, reduction, query.dtype, space)


def saved_size(backend: str, query: Tensor, key: Tensor, reduction: str) -> int:
    """Return the elements of what a backend saves that may keep its table."""
    rows, keys = query.shape[0], count_keys(key)
    if backend == "blockwise":
        return plan.kept_size(rows, keys, reduction)
    return chunked_plan.kept_size(rows, keys)


def takes_map(backend: str, key: Tensor) -> bool:
    """Say whether a backend goes through a map ``(N, d, P)`` as it lies, or wants its locations as rows."""
    return backend == "chunked" and chunked_plan.takes_map(key)
