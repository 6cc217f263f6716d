"""The local and global features that an encoder passes to a loss, and their sizes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["FeatureShapes", "Features"]


class Features(NamedTuple):
    """The local and the global features of one batch.

    This is a plain named tuple, so ``local, global_ = encoder(images)`` works.

    Args:
        local: local features, shape (N, c, *spatial): one vector per location.
        global_: global features, shape (N, d), or (N, d, *spatial') for several globals per example.

    Source:
        Hjelm et al., "Learning deep representations by mutual information estimation and maximization",
        ICLR 2019, section 3.

    Example:
        >>> import torch
        >>> local, global_ = Features(torch.zeros(2, 128, 8, 8), torch.zeros(2, 64))
        >>> local.shape[1], global_.shape[1]
        (128, 64)
    """

    local: Tensor
    global_: Tensor


class FeatureShapes(NamedTuple):
    """The sizes from which a loss is built; unpack them with ``**shapes._asdict()``.

    Args:
        local_dim: channels c of the local map.
        local_size: spatial sizes of the local map, for instance ``(8, 8)``.
        global_dim: width d of the global vector.

    Example:
        >>> FeatureShapes(128, (8, 8), 64)._asdict()
        {'local_dim': 128, 'local_size': (8, 8), 'global_dim': 64}
    """

    local_dim: int
    local_size: tuple[int, ...]
    global_dim: int
