"""Which implementation runs, chosen from the tensors, and where it lives."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from torch import Tensor

from infomax.ops.problem import Problem
from infomax.ops.settings import forced_backend

__all__ = ["Implementation", "choose", "implementation"]

_MODULES = {
    "reference": "infomax.ops.reference",
}


class Implementation(Protocol):
    """What a backend's module offers."""

    def forward(self, problem: Problem, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reduction, the joint scores and what backward needs besides them."""

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
        """Return the gradients of query and key, empty where not needed."""


def implementation(name: str) -> Implementation:
    """Import a backend by name; Triton is imported here and nowhere else."""
    return cast("Implementation", import_module(_MODULES[name]))


def choose(query: Tensor) -> str:
    """Return the forced backend, or the one that suits the tensors."""
    forced = forced_backend()
    return "reference" if forced is None else forced
