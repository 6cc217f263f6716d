"""The learning rate as a function of the share of the run that is over, in steps or in minutes."""

import math

from torch.optim import Optimizer

from .optimizers import Together

START = 0.04  # share of the peak rate at which a warm-up begins


def factor(share: float, warmup: float, shape: str) -> float:
    """Return the share of the peak rate: rising linearly over ``warmup``, then falling to 0 along ``shape``.

    With the shape "constant", the rate stays at its peak.
    """
    if share < warmup:
        return START + (1 - START) * share / warmup
    behind = min(1.0, (share - warmup) / (1 - warmup))
    falls = {"cosine": 0.5 + 0.5 * math.cos(math.pi * behind), "linear": 1 - behind, "constant": 1.0}
    return falls[shape]


def set_rate(optimizer: Optimizer | Together, rate: float) -> None:
    """Give every group of parameters the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
