"""The paper's projection of one side of a pair into the space in which scores are inner products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._checks import check_positive, shape_of
from infomax._precision import check_rows
from infomax.critics.normalisation import BatchNorm

__all__ = ["Projection"]


class Projection(nn.Module):
    r"""A residual block on rows: two layers, plus a linear shortcut that starts near the identity.

    .. math:: \mathrm{LN}\big( W_2 \, \mathrm{relu}(\mathrm{BN}(W_1 v)) + W_s v \big)

    A location of a map is a row, so this block serves both for the paper's 1x1 convolutions on maps and for its linear
    layers on vectors. Each layer is one matrix product over all locations.

    Args:
        in_features: channels of an input row.
        units: channels of an output row.
        layer_norm: whether the block ends with a layer norm over the units.

    Shapes:
        (K, in_features) to (K, units).

    Raises:
        TypeError: a size is not an integer, or the rows are not of the dtype of the parameters.
        ValueError: a size is below 1, or the rows do not have the shape above.

    Source:
        Hjelm et al. 2019, appendix A.3.2 (encode-and-dot). The layer norm and the initial weight of the shortcut,
        uniform in (-0.01, 0.01) with ones on the diagonal, follow the authors' code.

    Example:
        >>> import torch
        >>> from infomax.critics import Projection
        >>> Projection(128, 256)(torch.randn(10, 128)).shape
        torch.Size([10, 256])
    """

    def __init__(self, in_features: int, units: int, *, layer_norm: bool = True) -> None:
        super().__init__()
        in_features = check_positive("in_features", in_features)
        units = check_positive("units", units)
        self.in_features = in_features
        self.hidden = nn.Linear(in_features, units, bias=False)  # batch norm has a bias
        self.norm = BatchNorm(units)
        self.output = nn.Linear(units, units)
        self.shortcut = nn.Linear(in_features, units, bias=False)  # the output layer has a bias
        self.layer_norm = nn.LayerNorm(units) if layer_norm else nn.Identity()
        with torch.no_grad():
            self.shortcut.weight.uniform_(-0.01, 0.01)
            self.shortcut.weight.fill_diagonal_(1.0)

    def forward(self, rows: Tensor) -> Tensor:
        if isinstance(rows, Tensor) and rows.ndim != 2:
            raise ValueError(f"rows must have shape (K, {self.in_features}), got {shape_of(rows)}")
        check_rows(self, rows, self.in_features)
        hidden = torch.relu(self.norm(self.hidden(rows)))
        projected: Tensor = self.layer_norm(self.output(hidden) + self.shortcut(rows))
        return projected
