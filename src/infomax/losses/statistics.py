"""Measuring must not train: batch norm's running statistics stay what they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["untouched_statistics"]


@contextmanager
def untouched_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms inside ``module`` use a batch's statistics without recording them."""
    tracking = [
        norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats
    ]
    # With no statistics to track, training mode normalises by the batch and writes nothing.
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
