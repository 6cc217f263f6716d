"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode; on the way out each submodule returns to the mode it was in.

    ``module.train()`` afterwards would not do: it also switches on layers that were frozen on purpose.

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
        >>> with evaluating(network):
        ...     network.training
        False
        >>> network.training, network[1].training
        (True, False)
    """
    modes = {submodule: submodule.training for submodule in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for submodule, mode in modes.items():
            submodule.training = mode
