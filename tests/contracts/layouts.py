"""Features of every layout that the library promises, and their scores in every form."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infomax import FDivergence
from infomax import functional as F
from infomax.ops import use_workspace
from infomax.pairs import Pairing, Rows
from infomax.scores import DenseScores, PairScores, StreamedScores


class Layout(NamedTuple):
    """The shapes of local and global features of one batch."""

    name: str
    local: tuple[int, ...]
    global_: tuple[int, ...]

    @property
    def locations(self) -> tuple[int, ...]:
        return self.local[2:]


# Every kind of layout that the library promises, each as small as possible while it still reveals a mistake.
LAYOUTS = [
    Layout("vectors", (4, 3), (4, 3)),
    Layout("two examples", (2, 2, 3), (2, 2)),
    Layout("sequence", (3, 2, 5), (3, 2)),
    Layout("map", (3, 3, 2, 3), (3, 3)),
    Layout("volume", (3, 2, 2, 1, 3), (3, 2)),
    Layout("several globals", (3, 2, 4), (3, 2, 2)),
    Layout("map of globals", (3, 2, 2, 2), (3, 2, 1, 2)),
    Layout("vector with several globals", (3, 3), (3, 3, 2)),
    Layout("one channel", (3, 1, 2), (3, 1)),
]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def features(layout: Layout, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return random local and global features of the layout, as leaves that require gradients."""
    local, global_ = randn(*layout.local, seed=seed), randn(*layout.global_, seed=seed + 1000)
    return local.to(dtype).requires_grad_(), global_.to(dtype).requires_grad_()


def for_a_loss(name: str) -> str | FDivergence:
    """Return what a loss module takes as ``estimator``: the loss modules refuse the short name ``"rkl"``."""
    return FDivergence(name) if name == "rkl" else name


def some_mask(layout: Layout, seed: int = 0) -> Tensor:
    """Return a mask that hides at least one location, and keeps a location in each of the first two examples."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(layout.local[:1] + layout.locations, generator=generator) < 0.6
    flat = mask.view(mask.shape[0], -1)
    flat[:2, 0] = True
    flat[-1, -1] = False
    return mask


def rows(tensor: Tensor) -> Tensor:
    """Reshape (N, c, *spatial) to (N, P, c) without the library."""
    return tensor[:, None] if tensor.ndim == 2 else torch.stack([t.flatten(1).T for t in tensor])


def numpy_rows(tensor: Tensor) -> np.ndarray:
    return rows(tensor.detach().double()).numpy()


def like_rows(gradient: np.ndarray, tensor: Tensor) -> Tensor:
    """Reshape gradients of rows (N, P, c) to the shape of the features."""
    return torch.from_numpy(gradient).transpose(1, 2).reshape(tensor.shape)


def table_of(local: Tensor, global_: Tensor, scale: float = 1.0) -> Tensor:
    return scale * torch.einsum("iqu,jpu->iqjp", rows(global_), rows(local))


def in_tiles(query: Tensor, key: Tensor, pairing: Pairing, scale: float = 1.0) -> DenseScores:
    """Return inner products of rows; ``floats_per_pair`` is so large that `small_workspace` holds about ten pairs."""
    return DenseScores(
        lambda query, key: (query * key).sum(-1), query, key, pairing, floats_per_pair=2**16 // (8 * 10), scale=scale
    )


def both_forms(paired: Rows) -> tuple[StreamedScores, DenseScores]:
    """Return the scores of paired rows, once streamed and once computed in tiles."""
    rows = (paired.global_, paired.local, paired.pairing)
    return StreamedScores(*rows), in_tiles(*rows)


def scores_in(form: str, local: Tensor, global_: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> PairScores:
    """Return the scores in one of the forms of the library; ``tiles`` takes several tiles only in `small_workspace`."""
    if form == "streamed":
        return F.dot_scores(local, global_, mask, scale)
    if form == "tiles":
        streamed = F.dot_scores(local, global_, mask)
        return in_tiles(streamed.query, streamed.key, streamed.pairing, scale)
    assert form == "table"
    flat = None if mask is None else mask.reshape(mask.shape[0], -1)
    return F.dense_scores(table_of(local, global_, scale), flat)


FORMS = ["streamed", "table", "tiles"]


def small_workspace() -> AbstractContextManager[None]:
    """Limit the workspace so that the form ``tiles`` takes several tiles, the last ones smaller."""
    return use_workspace(2**16)
