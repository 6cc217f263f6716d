"""From feature maps to rows, and which rows belong to the same example.

Public tensors keep their spatial axes: local features ``(N, c, *spatial)``, globals ``(N, d)`` or
``(N, d, *spatial)``. Scores are about pairs of *rows*.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from infomax.pairs.checks import check_features, check_present
from infomax.pairs.draws import draw_locations, draw_negatives
from infomax.pairs.pairing import Pairing

__all__ = ["Rows", "pair_rows", "present_examples", "rows_of"]


class Rows(NamedTuple):
    """Local and global features as rows, and which belong together."""

    local: Tensor
    """(K, c): a view of a channels-last map, one copy of a channels-first one."""
    global_: Tensor
    """(M, d)."""
    pairing: Pairing
    kept: Tensor | None = None
    """(N',), the examples that have a real location, in order; None where all N have one."""


def rows_of(features: Tensor) -> Tensor:
    """(N, c, \\*spatial) as (N, P, c): a view, whatever the memory format."""
    return rearrange(features, "n c -> n 1 c") if features.ndim == 2 else rearrange(features, "n c ... -> n (...) c")


def present_examples(mask: Tensor | None, *, at_least: int = 2) -> Tensor | None:
    """Return the examples with a real location, (N',), in order; None where all of them have one.

    Args:
        mask: bool, (N, \\*spatial), True at a real location; None where every location is real.
        at_least: the smallest N'.

    Raises:
        ValueError: fewer examples have a real location.
    """
    if mask is None:
        return None
    kept = mask.reshape(mask.shape[0], -1).any(1).nonzero().squeeze(1)
    check_present(len(kept), mask, at_least=at_least)
    return None if len(kept) == len(mask) else kept


def pair_rows(
    local: Tensor,
    global_: Tensor,
    mask: Tensor | None = None,
    *,
    sample_locations: int | None = None,
    sample_negatives: int | None = None,
    generator: torch.Generator | None = None,
    at_least: int = 2,
) -> Rows:
    """Check the features, leave out what is masked or not drawn, and pair what is left.

    An example without a real location is left out whole: its globals form no row either.

    Args:
        local: local features, shape (N, c, \\*spatial).
        global_: global features, shape (N, d) or (N, d, \\*spatial).
        mask: bool, shape (N, \\*spatial), True at a real location.
        sample_locations: draw this many of each example's (real) locations, without replacement; all when None.
        sample_negatives: score each global against the locations of this many other examples; all when None.
        generator: where the draws come from; torch's global one when None.
        at_least: the smallest number of examples with a real location.

    Raises:
        TypeError: a dtype is not floating, the mask is not bool.
        ValueError: shapes, batch sizes or devices do not fit, or there are too few examples.
    """
    check_features(local, global_, mask, at_least=at_least)
    rows, globals_ = rows_of(local), rows_of(global_)
    present = None if mask is None else mask.reshape(*rows.shape[:2])
    kept = present_examples(mask, at_least=at_least)
    if kept is not None and present is not None:
        rows, globals_, present = rows[kept], globals_[kept], present[kept]
    n, p = rows.shape[:2]
    if sample_locations is not None and sample_locations < p:
        rows, present = draw_locations(rows, present, sample_locations, generator)
        p = sample_locations
    if present is None:
        key_group = torch.arange(n, device=local.device).repeat_interleave(p)
        pairing = Pairing(n, globals_.shape[1], key_group, locations=p)
        rows = rearrange(rows, "n p c -> (n p) c")
    else:
        key_group = present.nonzero()[:, 0]
        rows = rows[present]
        pairing = Pairing(n, globals_.shape[1], key_group)
    if sample_negatives is not None and sample_negatives != n - 1:
        pairing = draw_negatives(pairing, sample_negatives, generator)
    return Rows(rows, rearrange(globals_, "n q d -> (n q) d"), pairing, kept)
