"""A user-defined critic of aligned rows, which losses accept beside the built-in critics."""

from __future__ import annotations

from torch import Tensor, nn


class Distance(nn.Module):
    """Minus the squared distance between a local and an embedded global."""

    def __init__(self, local_dim: int, global_dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(global_dim, local_dim)

    def forward(self, local: Tensor, global_: Tensor) -> Tensor:
        return -(local - self.embed(global_)).square().sum(1)
