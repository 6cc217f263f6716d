"""The baseline of TUBA as a network, which returns one number for each global."""

from __future__ import annotations

from torch import Tensor, nn

from infomax._checks import check_floating, check_positive, shape_of
from infomax._precision import check_fits_module
from infomax.pairs.rows import rows_of

__all__ = ["GlobalBaseline"]


class GlobalBaseline(nn.Module):
    r"""A network that computes log a(y) for each global, the baseline of :func:`~infomax.functional.tuba_loss`.

    Args:
        global_dim: channels d of the global features.
        units: width of the hidden layer.

    Shapes:
        (N, d) or (N, d, \*spatial) to (M,): one number per global, in the order of the global rows.

    Raises:
        TypeError: the features are not real floating, or their dtype is not that of the parameters.
        ValueError: the features do not have ``global_dim`` channels, or are on another device than the parameters.

    Source:
        Poole et al. 2019, section 2.2.

    Example:
        >>> import torch
        >>> from infomax import BilinearCritic, TUBA
        >>> from infomax.critics import GlobalBaseline
        >>> critic, baseline = BilinearCritic(16, 8), GlobalBaseline(8)
        >>> local, global_ = torch.randn(4, 16, 2, 2), torch.randn(4, 8)
        >>> TUBA()(critic(local, global_), log_baseline=baseline(global_)).backward()
    """

    def __init__(self, global_dim: int, *, units: int = 256) -> None:
        super().__init__()
        self.global_dim = check_positive("global_dim", global_dim)
        units = check_positive("units", units)
        self.layers = nn.Sequential(nn.Linear(global_dim, units), nn.ReLU(), nn.Linear(units, 1))

    def forward(self, global_: Tensor) -> Tensor:
        check_floating("global_", global_)
        if global_.ndim < 2 or global_.shape[1] != self.global_dim:
            raise ValueError(f"global_ must have the shape (N, {self.global_dim}, ...), got {shape_of(global_)}")
        check_fits_module(self, global_=global_)
        values: Tensor = self.layers(rows_of(global_).reshape(-1, self.global_dim))
        return values.squeeze(-1)
