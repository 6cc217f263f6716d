"""Parts that run uncompiled inside a compiled program."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

__all__ = ["keep_uncompiled", "uncompiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_marked: list[Callable[[], None]] = []
_lock = threading.Lock()


def uncompiled(function: _Function) -> _Function:
    """Mark a function that `torch.compile` does not trace after `keep_uncompiled`, nor what it calls.

    The exchanges between processes are marked: they catch errors, and a guard runs a part of the backward pass itself.
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
    So this is called when a loss that gathers is made, or unpickled.
    """
    with _lock:  # another thread may return only when all are done
        while _marked:
            _marked.pop()()
