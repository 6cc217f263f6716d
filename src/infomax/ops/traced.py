"""Conditions on sizes that a trace does not know, such as the number of rows that a mask keeps."""

from __future__ import annotations

import torch

__all__ = ["surely"]


def surely(condition: bool) -> bool:
    """Return the condition; while compiling, False if it depends on the values of a tensor."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental import symbolic_shapes  # not at the top: it loads sympy

        if hasattr(symbolic_shapes, "guard_or_false"):  # from torch 2.8
            return bool(symbolic_shapes.guard_or_false(condition))
    return condition
