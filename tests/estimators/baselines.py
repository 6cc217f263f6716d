"""A baseline for each global, in the form for the reference loops and in the form for the library."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax import PairScores


def of_owner(owner: tuple[int, int]) -> float:
    """Return the logarithm of the baseline of global q of example i, for ``owner`` = (i, q)."""
    return 0.4 * owner[0] - 0.3 * owner[1] - 0.2


def of_global(scores: PairScores) -> Tensor:
    """Return the same log baselines in the order of the global rows."""
    pairing = scores.pairing
    owners = [(i, q) for i in range(pairing.examples) for q in range(pairing.globals_)]
    return torch.tensor([of_owner(owner) for owner in owners], dtype=torch.float64)
