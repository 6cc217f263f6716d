"""Sizes that a trace does not know: how many rows a mask leaves shows when the graph runs."""

from __future__ import annotations

import torch

__all__ = ["surely"]


def surely(condition: bool) -> bool:
    """Return the condition; False while compiling where it depends on what a tensor holds."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental import symbolic_shapes  # here: it loads sympy

        if hasattr(symbolic_shapes, "guard_or_false"):  # from torch 2.8
            return bool(symbolic_shapes.guard_or_false(condition))
    return condition
