"""Which implementation runs: chosen from the tensors, or forced, and then it runs or says why it cannot."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from infomax.ops.problem import Problem
from infomax.ops.settings import forced_backend

__all__ = ["Implementation", "choose", "implementation"]

_MODULES = {
    "reference": "infomax.ops.reference",
    "chunked": "infomax.ops.chunked",
    "triton": "infomax.ops.triton",
}
_TRITON_INSTALLED = find_spec("triton") is not None


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


def choose(query: Tensor, reduction: str = "logsumexp") -> str:
    """Return the forced backend, or the one that suits the tensors.

    Raises:
        RuntimeError: The forced backend cannot run on them.
    """
    forced = forced_backend()
    if forced is None:
        return "triton" if query.device.type == "cuda" and _triton_obstacle(query, reduction) is None else "chunked"
    obstacle = _triton_obstacle(query, reduction) if forced == "triton" else None
    if obstacle is not None:
        raise RuntimeError(f'use_backend("triton"): {obstacle}; use_backend(None) chooses by the tensors.')
    return forced


def _triton_obstacle(query: Tensor, reduction: str) -> str | None:
    if not _TRITON_INSTALLED:
        return "Triton is not installed"
    if query.dtype == torch.float64:
        return "its kernels accumulate in float32, got float64 tensors"
    if query.dtype == torch.float16 and reduction in ("square_sum", "pearson"):
        return "its weights grow with the scores and may pass what a float16 holds"
    if query.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"its kernels run on CUDA (elsewhere only interpreted, under TRITON_INTERPRET=1), got {query.device}"
    return None
