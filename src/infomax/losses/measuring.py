"""A context for measuring without any effect on training: no statistics and no random state change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._modes import buffers_restored
from infomax._precision import device_of
from infomax.critics.normalisation import BatchNorm, check_gathers
from infomax.pairs.processes import Processes

__all__ = ["measuring"]


@contextmanager
def measuring(module: nn.Module, features: Tensor, *, gather: bool) -> Iterator[None]:
    """Run ``module`` without side effects: no gradients, and buffers and global generators are as before on exit.

    Batch norms in training mode use the statistics of the batch and record nothing.

    Args:
        module: the loss that runs.
        features: a tensor; the random state of its device is restored, in addition to that of the CPU.
        gather: whether batch norms in training mode use the statistics of the rows of all ``module.processes``, however
            the loss was built; of this process alone when False.

    Raises:
        ValueError: with ``gather``, a batch norm normalises by the batch and cannot use the rows of other processes.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    tracking = [norm for norm in norms if norm.training and norm.track_running_stats]
    ours = {norm: norm.processes for norm in norms if isinstance(norm, BatchNorm)}
    processes = cast("Processes", module.processes) if gather else None
    if processes is not None:
        _check_together(norms, processes, device_of(module, features))
    # Torch synchronises these in training mode. In evaluation mode without running averages, they normalise by the
    # batch of this process.
    alone = [norm for norm in tracking if isinstance(norm, nn.SyncBatchNorm) and not gather]
    # A batch norm in training mode that tracks no statistics normalises by the batch and writes nothing.
    for norm in tracking:
        norm.track_running_stats = False
    for norm in ours:
        norm.processes = processes
    devices = [features.device] if isinstance(features, Tensor) and features.device.type == "cuda" else []
    try:
        with torch.no_grad(), buffers_restored(module), torch.random.fork_rng(devices=devices):
            for norm in alone:
                norm.training, norm.running_mean, norm.running_var = False, None, None
            yield
    finally:
        torch.clear_autocast_cache()  # with torch 2.6, training would reuse the weights that were cast without gradient
        for norm in alone:
            norm.training = True
        for norm in tracking:
            norm.track_running_stats = True
        for norm, before in ours.items():
            norm.processes = before


def _check_together(norms: list[_BatchNorm], processes: Processes, device: torch.device) -> None:
    """Raise, on all processes, if a batch norm normalises by the rows of one process."""
    error: ValueError | None = None
    try:
        # Without running averages, a batch norm normalises by the batch in evaluation mode too.
        check_gathers([norm for norm in norms if norm.training or norm.running_mean is None], "; or call .eval() on it")
    except ValueError as raised:
        error = raised
    # Modes may differ between processes, so that only some would raise, and the others would wait for their rows.
    if processes.several and any(not isinstance(norm, BatchNorm) for norm in norms):
        processes.raise_together(error, "a measurement", device)
    elif error is not None:
        raise error
