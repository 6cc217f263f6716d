"""What one fold's critic is mixed of, for any pairs of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack

__all__ = ["Candidates"]

_PAIRS = 100_000  # that are scored at a time
_FARTHEST = 80.0  # nats, of a network's score


class Candidates:
    """Scores by no critic, the start and each kind of network of one fold.

    Args:
        stack: rows, starts and features of all folds.
        critic: the members, trained.
        fold: which fold.
    """

    def __init__(self, stack: Stack, critic: StackedCritic, fold: int) -> None:
        self._stack, self._fold = stack, fold
        self._critic = critic.part((stack.fold == fold).nonzero().squeeze(1))
        with torch.no_grad():
            self._of_x, self._of_y = self._critic.rows(*stack.features(fold))

    @property
    def count(self) -> int:
        """Candidates C."""
        return 2 + len(self._of_x)

    @torch.no_grad()
    def tables(self, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        """Score pairs.

        Args:
            x_rows: (n,), rows of x.
            y_rows: (n, K), rows of y that each of them is paired with.

        Returns:
            (C, n, K), nats, float64 and finite.
        """
        size = max(1, _PAIRS // max(1, y_rows.shape[1]))
        parts = zip(torch.split(x_rows, size), torch.split(y_rows, size), strict=True)
        chunks = [self._tables(x, y) for x, y in parts]
        return torch.cat(chunks, 1)

    def _tables(self, x_rows: Tensor, y_rows: Tensor) -> Tensor:
        start = self._stack.pair_scores(self._fold, x_rows, y_rows)
        met = self._of_x[:, x_rows].unsqueeze(2) + self._of_y[:, y_rows]
        kinds, n, k, width = met.shape
        flat = start.float().view(1, -1).expand(kinds, -1)
        trained = self._critic.pairs(met.view(kinds, n * k, width), flat).view(kinds, n, k).double()
        trained = trained.clamp(-_FARTHEST, _FARTHEST)
        return torch.cat([torch.zeros_like(start).unsqueeze(0), start.unsqueeze(0), trained])
