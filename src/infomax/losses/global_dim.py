"""The global objective: information between the whole feature map and the global feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from infomax._checks import check_floating, check_positive, check_sizes, shape_of
from infomax._precision import check_fits_module, place
from infomax.critics import CriticLike
from infomax.estimators import EstimatorLike
from infomax.losses.base import Gather, InformationLoss
from infomax.losses.sizing import sized
from infomax.pairs.checks import check_features, check_negatives
from infomax.pairs.rows import Rows, has_location, pair_rows

__all__ = ["GlobalDIMLoss", "MapEncoder"]

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class MapEncoder(nn.Module):
    r"""An encoder from a feature map to one vector: convolutions of size 3 with 64 and 32 channels, flattened.

    Args:
        local_dim: channels c of the map.
        local_size: spatial size of the map, at most three axes; () for vectors, which are returned unchanged.

    Shapes:
        (N, c, \*local_size) to (N, ``output_dim``).

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1, ``local_size`` has more than three axes, or a map has another shape.

    Source:
        Hjelm et al. 2019, appendix A.3.1 (global objective). Here the convolutions are padded, so that maps of any size
        can be encoded.

    Example:
        >>> import torch
        >>> from infomax.losses import MapEncoder
        >>> encoder = MapEncoder(128, (8, 8))
        >>> encoder(torch.randn(4, 128, 8, 8)).shape, encoder.output_dim
        (torch.Size([4, 2048]), 2048)
    """

    def __init__(self, local_dim: int, local_size: Sequence[int]) -> None:
        super().__init__()
        local_dim = check_positive("local_dim", local_dim)
        size = check_sizes("local_size", local_size, at_least=0)
        if len(size) > 3:
            raise ValueError(f"local_size must have at most 3 axes, got {size}")
        self.local_dim = local_dim
        self.local_size = size
        if size:
            convolution = _CONVOLUTIONS[len(size)]
            self.layers = nn.Sequential(
                convolution(local_dim, 64, 3, padding=1),
                nn.ReLU(),
                convolution(64, 32, 3, padding=1),
                nn.ReLU(),
                nn.Flatten(),
            )
            self.output_dim = 32 * math.prod(size)
        else:
            self.layers = nn.Sequential()
            self.output_dim = local_dim

    def forward(self, local: Tensor) -> Tensor:
        if tuple(local.shape[1:]) != (self.local_dim, *self.local_size):
            hint = "; channels come second, permute it" if local.shape[-1:] == (self.local_dim,) else ""
            raise ValueError(
                f"local must have the shape {shape_of(('N', self.local_dim, *self.local_size))} of local_dim and "
                f"local_size, got {shape_of(local)}{hint}"
            )
        check_fits_module(self, local=local)
        encoded: Tensor = self.layers(local)
        return encoded


class GlobalDIMLoss(InformationLoss):
    r"""Deep InfoMax (global): minus a bound on the information between the whole map and the global feature.

    .. math:: \mathcal{L} = -\hat{I}_T\big( X; Y \big)

    A :class:`MapEncoder` turns the map of every example into one vector, and the critic scores this vector with all
    globals of the batch. This loss is used in the same way as :class:`LocalDIMLoss`.

    Args:
        local_dim: channels c of the map.
        global_dim: channels d of the global features.
        local_size: spatial size of the map, at most three axes.
        estimator: as in :class:`LocalDIMLoss`.
        critic: as in :class:`LocalDIMLoss`; the local rows have ``map_encoder.output_dim`` channels.
        units: as in :class:`LocalDIMLoss`.
        in_batch: as in :class:`LocalDIMLoss`.
        sample_negatives: as in :class:`LocalDIMLoss`.
        gather: as in :class:`LocalDIMLoss`.
        process_group: as in :class:`LocalDIMLoss`.
        reduction: as in :class:`LocalDIMLoss`.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shapes:
        - local: (N, c, \*local_size), N at least 2
        - global\_: (N, d), or (N, d, \*spatial) for several globals per example
        - mask: (N, \*local_size), bool, True at a real location. The other locations are set to zero, like the padding
          of a convolution, and an example without a real location is left out
        - negatives: (L, c, \*local_size), more maps that are marginal for every global
        - result: as in :class:`LocalDIMLoss`

    Raises:
        TypeError: as in :class:`LocalDIMLoss`.
        ValueError: as in :class:`LocalDIMLoss`; or the spatial size of the map is not ``local_size``.

    Source:
        Hjelm et al. 2019, eq. 1 and section 3.1.

    Example:
        >>> import torch
        >>> from infomax import GlobalDIMLoss
        >>> loss_fn = GlobalDIMLoss(local_dim=128, global_dim=64, local_size=(8, 8), units=256)
        >>> loss_fn(torch.randn(4, 128, 8, 8), torch.randn(4, 64)).backward()
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        local_size: Sequence[int],
        *,
        estimator: EstimatorLike = "infonce",
        critic: CriticLike = "dot",
        units: int | None = None,
        in_batch: bool = True,
        sample_negatives: int | None = None,
        gather: Gather = False,
        process_group: dist.ProcessGroup | None = None,
        reduction: Literal["mean", "none"] = "mean",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        map_encoder = MapEncoder(local_dim, local_size)
        super().__init__(
            map_encoder.output_dim,
            global_dim,
            estimator=estimator,
            critic=critic,
            units=units,
            in_batch=in_batch,
            sample_negatives=sample_negatives,
            gather=gather,
            process_group=process_group,
            reduction=reduction,
        )
        self.map_encoder = map_encoder
        place(self, device, dtype)

    @classmethod
    def from_features(cls, features: nn.Module, example_batch: Any, **options: Any) -> GlobalDIMLoss:
        """Build the loss for a module that returns both features, as :meth:`LocalDIMLoss.from_features` does.

        Example:
            >>> import torch
            >>> from infomax import GlobalDIMLoss, encoders
            >>> loss_fn = GlobalDIMLoss.from_features(encoders.conv32(), torch.rand(1, 3, 32, 32), units=256)
            >>> loss_fn.map_encoder.local_size
            (8, 8)
        """
        return cls(**sized(features, example_batch, options, "local_dim", "global_dim", "local_size"))

    def pair(
        self,
        local: Tensor,
        global_: Tensor,
        mask: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        negatives: Tensor | None = None,
        group: Tensor | None = None,
        generator: torch.Generator | None = None,
        at_least: int = 2,
    ) -> Rows:
        if batch is not None:
            raise ValueError("batch must be None: the global objective encodes maps of one size; pad them, with a mask")
        check_features(local, global_, mask, at_least=at_least if negatives is None and self.in_batch else 0)
        present = None
        if mask is not None:
            local = torch.where(mask.view(mask.shape[0], 1, *local.shape[2:]), local, 0.0)
            present = has_location(mask)
        if negatives is not None:
            check_floating("negatives", negatives)
            if negatives.shape[1:] != local.shape[1:]:
                raise ValueError(
                    f"negatives must be maps of the size of local {shape_of(local)}, got {shape_of(negatives)}"
                )
            check_fits_module(self.map_encoder, negatives=negatives)
            check_negatives(negatives, local, in_batch=self.in_batch, sample_negatives=self.sample_negatives)
        encoded = self.map_encoder(local)
        rows = pair_rows(
            encoded,
            global_,
            present,
            negatives=None if negatives is None else self.map_encoder(negatives),
            group=group,
            in_batch=self.in_batch,
            sample_negatives=self.sample_negatives,
            generator=generator,
            at_least=at_least,
        )
        self.critic.check(encoded, global_)
        return rows
