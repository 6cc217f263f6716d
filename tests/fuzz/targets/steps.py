"""Joint pairs some steps apart in time, from padded and ragged sequences, and a loss of these pairs."""

from __future__ import annotations

from typing import Any

import torch

from fuzz.oracle import Finding, attempt
from fuzz.source import Source
from fuzz.values import integers, mask, size, tensor
from infomax import InfoMaxLoss
from infomax.pairs import ahead

_NAMES = ("x", "y", "group", "negatives")


def run(source: Source) -> None:
    """Pair steps of sequences, and compute a loss of the pairs."""
    torch.manual_seed(source.byte())
    n, length, steps = source.choice([3, 2, 1, 0]), source.choice([5, 3, 1, 0, 2]), size(source, (1, 2, 3, 4))
    given: dict[str, Any] = {}
    if source.below(2):
        rows = n * length
        local, global_ = tensor(source, (rows, 3)), tensor(source, (rows, 2))
        given["batch"] = integers(source, rows, n)
    else:
        local, global_ = tensor(source, (n, 3, length)), tensor(source, (n, 2, length))
        if source.below(2):
            given["mask"] = mask(source, (n, length))
    pairs = attempt(ahead, local, global_, steps=steps, **given)
    if len(pairs.local) != len(pairs.global_) or len(pairs.group) != len(pairs.local):
        raise Finding("pairs of unequal numbers")
    group = pairs.group if source.below(2) else None
    loss_fn = InfoMaxLoss(3, 2, units=4, symmetric=False)
    loss = attempt(loss_fn, pairs.local, pairs.global_, group=group, names=_NAMES)
    if loss.requires_grad and not loss.is_meta:
        attempt(loss.backward)
