"""Concat-and-convolve: a network on each pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._checks import check_positive
from infomax._precision import place
from infomax.critics.base import Critic
from infomax.pairs.pairing import Pairing
from infomax.scores import DenseScores

__all__ = ["ConcatCritic"]


class ConcatCritic(Critic):
    r"""A three-layer network on the concatenation of local and global.

    .. math:: T(x, y) = w_3^\top \mathrm{relu}\big(W_2 \, \mathrm{relu}(W_1 [x; y])\big)

    The paper's concat-and-convolve: tiling the global over the map and convolving by 1x1 is this network at each
    location. The first layer is linear, so each side goes through its half of :math:`W_1` once; only what follows is
    evaluated for every pair, in tiles, and again in the backward pass. A pair costs ``units``\ :sup:`2` multiplications
    where an inner product costs ``units``: ask the loss for fewer negatives or locations when it takes too long.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: width of both hidden layers; the paper's 512.
        device: where the parameters are.
        dtype: of the parameters.

    Shapes:
        local (N, c, \*spatial), global (N, d) or (N, d, \*spatial), to dense scores.

    Source:
        Hjelm et al. 2019, section 3.2 and appendix A.3.2.

    Example:
        >>> import torch
        >>> from infomax import ConcatCritic
        >>> scores = ConcatCritic(128, 64, units=32)(torch.randn(4, 128, 4, 4), torch.randn(4, 64))
        >>> scores.reduce("logsumexp").joint.shape
        torch.Size([64])
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        units: int = 512,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        units = check_positive("units", units)
        self.local_layer = nn.Linear(local_dim, units)
        self.global_layer = nn.Linear(global_dim, units, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(units, units), nn.ReLU(inplace=True), nn.Linear(units, 1))
        # The sum of the two halves, its relu, and the second layer's output.
        self.floats_per_pair = 3 * units
        place(self, device, dtype)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> DenseScores:
        return DenseScores(
            self._score_pairs,
            self.global_layer(global_),
            self.local_layer(local),
            pairing,
            floats_per_pair=self.floats_per_pair,
            parameters=self.rest.parameters(),
        )

    def _score_pairs(self, query: Tensor, key: Tensor) -> Tensor:
        scores: Tensor = self.rest(query + key)
        return scores.squeeze(-1)
