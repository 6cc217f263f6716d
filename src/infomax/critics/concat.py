"""Concat-and-convolve: a network that scores each pair."""

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
    r"""A three-layer network on the concatenation of a local and a global feature.

    .. math:: T(x, y) = w_3^\top \mathrm{relu}\big(W_2 \, \mathrm{relu}(W_1 [x; y])\big)

    This is the paper's concat-and-convolve: to tile the global over the map and apply 1x1 convolutions is to apply this
    network at each location. The first layer is linear, so each half of :math:`W_1`, one per side, is applied once per
    row. The other layers are evaluated for every pair, in tiles, and evaluated again in the backward pass. A pair costs
    ``units``\ :sup:`2` multiplications, where an inner product costs ``units``. If training takes too long, let the
    loss sample fewer negatives or locations.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: width of both hidden layers; 512 in the paper.
        device: device of the parameters.
        dtype: dtype of the parameters.

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
        # Stored for each pair: the sum of the two halves, its ReLU, and the output of the second layer.
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
