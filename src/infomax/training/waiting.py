"""Gradients wait on this process while an encoder's wrapper would exchange them after every backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

__all__ = ["waiting"]

_FLAGS = ("reduce_grads", "all_reduce_grads")
"""What FSDP2 notes for each group of parameters."""


@contextmanager
def waiting(features: nn.Module) -> Iterator[None]:
    """Keep FSDP2 and DistributedDataParallel from exchanging gradients. What was set before holds again at the end.

    Args:
        features: the wrapped encoder; any other module is left alone.
    """
    exchange = getattr(features, "set_requires_gradient_sync", None)  # of FSDP2
    wait = getattr(features, "no_sync", None)  # of DistributedDataParallel
    with ExitStack() as stack:
        if exchange is not None:
            stack.enter_context(_restored(features))
            exchange(False)
        if wait is not None:
            stack.enter_context(wait())
        yield


@contextmanager
def _restored(features: nn.Module) -> Iterator[None]:
    """Put back what FSDP2 has noted, after an error, too.

    A user may have turned the exchange off, for some modules or for all, and torch offers no public way to ask.
    """
    noted = [(group, flag, getattr(group, flag)) for group in _groups(features) for flag in _FLAGS]
    try:
        yield
    finally:
        for group, flag, value in noted:
            setattr(group, flag, value)
        if not noted:  # a wrapper of another make: as it is by default
            features.set_requires_gradient_sync(True)  # type: ignore[operator]


def _groups(features: nn.Module) -> list[Any]:
    """The groups of parameters that FSDP2 exchanges."""
    groups: list[Any] = []
    for module in features.modules():
        if hasattr(module, "_get_fsdp_state"):
            state = module._get_fsdp_state()  # type: ignore[operator]  # noqa: SLF001
            if hasattr(state, "_fsdp_param_groups"):
                groups += state._fsdp_param_groups  # noqa: SLF001
            elif state._fsdp_param_group is not None:  # noqa: SLF001 (before there could be several)
                groups.append(state._fsdp_param_group)  # noqa: SLF001
    return [group for group in groups if all(hasattr(group, flag) for flag in _FLAGS)]
