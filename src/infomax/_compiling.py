"""Parts that run uncompiled inside a compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

__all__ = ["keep_uncompiled", "uncompiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_marked: list[Callable[[], None]] = []


def uncompiled(function: _Function) -> _Function:
    """Mark a function that `torch.compile` does not trace after `keep_uncompiled`, nor what it calls.

    Gathered losses need it: their exchanges catch errors of other parts of the graph, and a guard runs a part of the
    backward pass itself.
    """
    disabled: list[Callable[..., Any]] = []

    def disable() -> None:
        disabled.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return (disabled[0] if disabled else function)(*args, **kwargs)

    _marked.append(disable)
    return cast("_Function", wrapper)


def keep_uncompiled() -> None:
    """Keep all marked functions uncompiled from now on.

    This is not done where they are marked, because `torch.compiler.disable` imports the compiler, which takes seconds.
    """
    while _marked:
        _marked.pop()()
