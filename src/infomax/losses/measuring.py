"""Measuring must not train: no statistics and no random state change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._modes import unwritten
from infomax.critics.normalisation import BatchNorm

__all__ = ["measuring"]


@contextmanager
def measuring(module: nn.Module, features: Tensor, *, gather: bool) -> Iterator[None]:
    """Let ``module`` run without a trace: no gradient, no written buffer, no draw from the global generators.

    Batch norms in training mode use the statistics of the batch and record nothing.

    Args:
        module: what runs.
        features: on the device whose random state is kept beside the CPU's.
        gather: whether batch norms take the statistics of all processes where they do so in training.
    """
    tracking = [
        norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats
    ]
    together = {norm: norm.processes for norm in module.modules() if isinstance(norm, BatchNorm) and norm.processes}
    # Synchronised by torch as long as they are in training mode; without, they normalise by the batch if they have
    # no averages to normalise by.
    alone = [norm for norm in tracking if isinstance(norm, nn.SyncBatchNorm) and not gather]
    # With no statistics to track, training mode normalises by the batch and writes nothing.
    for norm in tracking:
        norm.track_running_stats = False
    if not gather:
        for norm in together:
            norm.processes = None
    devices = [features.device] if isinstance(features, Tensor) and features.device.type == "cuda" else []
    try:
        with torch.no_grad(), unwritten(module), torch.random.fork_rng(devices=devices):
            for norm in alone:
                norm.training, norm.running_mean, norm.running_var = False, None, None
            yield
    finally:
        torch.clear_autocast_cache()  # torch 2.6 would train on with the weights as they were cast without gradient
        for norm in alone:
            norm.training = True
        for norm in tracking:
            norm.track_running_stats = True
        for norm, processes in together.items():
            norm.processes = processes
