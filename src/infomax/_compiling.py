"""Parts that run uncompiled inside a compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

__all__ = ["uncompiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def uncompiled(function: _Function) -> _Function:
    """Return the function as one that `torch.compile` does not trace, nor what it calls.

    Gathered losses need it: their exchanges catch errors of other parts of the graph, and a guard runs a part of the
    backward pass itself.
    """
    return cast("_Function", torch.compiler.disable(function))  # type: ignore[no-untyped-call]
