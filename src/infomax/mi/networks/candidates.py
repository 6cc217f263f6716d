"""The candidates that one fold's critic is a mixture of, for any pairs of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.mi.networks.network import StackedCritic
from infomax.mi.networks.stack import Stack

__all__ = ["Candidates"]

_PAIRS = 10_000  # scored at a time, so that intermediate results stay in the processor's cache
_FARTHEST = 80.0  # nats, the largest magnitude of a network's score


class Candidates:
    """Scores of one fold's candidates: a constant critic, the start, and each kind of network.

    Args:
        stack: rows, starts and features of all folds.
        critic: the trained members.
        fold: number of the fold.
    """

    def __init__(self, stack: Stack, critic: StackedCritic, fold: int) -> None:
        self._stack, self._fold = stack, fold
        members = (stack.fold == fold).nonzero().squeeze(1)
        learnt = critic.learnt[members].cpu()
        self.kinds = tuple(learnt.nonzero().squeeze(1).tolist())
        """Kinds of networks that differ from the start."""
        self._critic = critic.part(members[learnt.to(members.device)])
        with torch.no_grad():
            self._of_x, self._of_y = self._critic.rows(*(side[list(self.kinds)] for side in stack.features(fold)))

    @torch.no_grad()
    def tables(self, x_rows: Tensor, y_rows: Tensor, *, networks: bool = True) -> Tensor:
        """Score pairs by each candidate.

        Args:
            x_rows: (n,), rows of x.
            y_rows: (n, K), rows of y with which each row of x is paired.
            networks: whether the networks score, too.

        Returns:
            (C, n, K), nats, float64 and finite; (2, n, K) without networks.
        """
        networks = networks and bool(self.kinds)
        size = max(1, _PAIRS // max(1, y_rows.shape[1]))
        parts = zip(torch.split(x_rows, size), torch.split(y_rows, size), strict=True)
        return torch.cat([self._tables(x, y, networks) for x, y in parts], 1)

    def _tables(self, x_rows: Tensor, y_rows: Tensor, networks: bool) -> Tensor:
        start = self._stack.pair_scores(self._fold, x_rows, y_rows)
        simple = torch.stack([torch.zeros_like(start), start])
        if not networks:
            return simple
        begun = start.float().expand(len(self.kinds), -1, -1)
        trained = self._critic.pairs(self._of_x[:, x_rows], self._of_y, y_rows, begun).double()
        return torch.cat([simple, trained.clamp(-_FARTHEST, _FARTHEST)])
