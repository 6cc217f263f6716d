"""Suspending the gradient exchange that the wrapper of an encoder makes after every backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

__all__ = ["no_gradient_sync"]

_FLAGS = ("reduce_grads", "all_reduce_grads")
"""Attributes in which FSDP2 stores, for each group of parameters, whether gradients are exchanged."""


@contextmanager
def no_gradient_sync(features: nn.Module) -> Iterator[None]:
    """Keep FSDP2 and DistributedDataParallel from exchanging gradients; restore the previous setting on exit.

    Args:
        features: the wrapped encoder; a module without such a wrapper is not changed.
    """
    exchange = getattr(features, "set_requires_gradient_sync", None)  # of FSDP2
    no_sync = getattr(features, "no_sync", None)  # of DistributedDataParallel
    with ExitStack() as stack:
        if exchange is not None:
            stack.enter_context(_restored(features))
            exchange(False)
        if no_sync is not None:
            stack.enter_context(no_sync())
        yield


@contextmanager
def _restored(features: nn.Module) -> Iterator[None]:
    """Restore the setting of FSDP2 on exit, also after an error.

    A user may have turned the exchange off for some or all modules, and torch offers no public way to read the setting.
    """
    noted = [(group, flag, getattr(group, flag)) for group in _groups(features) for flag in _FLAGS]
    try:
        yield
    finally:
        for group, flag, value in noted:
            setattr(group, flag, value)
        if not noted:  # a wrapper other than FSDP2: set the default
            features.set_requires_gradient_sync(True)  # type: ignore[operator]


def _groups(features: nn.Module) -> list[Any]:
    """Return the groups of parameters whose gradients FSDP2 exchanges."""
    groups: list[Any] = []
    for module in features.modules():
        if hasattr(module, "_get_fsdp_state"):
            state = module._get_fsdp_state()  # type: ignore[operator]  # noqa: SLF001
            if hasattr(state, "_fsdp_param_groups"):
                groups += state._fsdp_param_groups  # noqa: SLF001
            elif state._fsdp_param_group is not None:  # noqa: SLF001 (before there could be several)
                groups.append(state._fsdp_param_group)  # noqa: SLF001
    return [group for group in groups if all(hasattr(group, flag) for flag in _FLAGS)]
