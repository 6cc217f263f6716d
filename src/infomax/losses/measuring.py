"""A context for measuring without any effect on training: no statistics and no random state change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._modes import buffers_restored
from infomax.critics.normalisation import BatchNorm

__all__ = ["measuring"]


@contextmanager
def measuring(module: nn.Module, features: Tensor, *, gather: bool) -> Iterator[None]:
    """Run ``module`` without side effects: no gradients, and buffers and global generators are as before on exit.

    Batch norms in training mode use the statistics of the batch and record nothing.

    Args:
        module: the module that runs.
        features: a tensor; the random state of its device is restored, in addition to that of the CPU.
        gather: whether batch norms that use the statistics of all processes in training use them here too.
    """
    tracking = [
        norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats
    ]
    together = {norm: norm.processes for norm in module.modules() if isinstance(norm, BatchNorm) and norm.processes}
    # Torch synchronises these in training mode. In evaluation mode without running averages, they normalise by the
    # batch of this process.
    alone = [norm for norm in tracking if isinstance(norm, nn.SyncBatchNorm) and not gather]
    # A batch norm in training mode that tracks no statistics normalises by the batch and writes nothing.
    for norm in tracking:
        norm.track_running_stats = False
    if not gather:
        for norm in together:
            norm.processes = None
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
        for norm, processes in together.items():
            norm.processes = processes
