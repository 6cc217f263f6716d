"""The rows that are formed from features, and which rows belong to the same example.

Public tensors keep their spatial axes: local features ``(N, c, *spatial)``, globals ``(N, d)`` or
``(N, d, *spatial)``. Ragged local features are already rows, ``(K, c)``, and come with the example of each row. Critics
score pairs of *rows*.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from infomax._checks import check_floating, check_generator, check_holds_values, check_integer, check_positive, shape_of
from infomax.pairs.checks import (
    check_features,
    check_group,
    check_groups_left,
    check_index,
    check_negatives,
    check_present,
    hint_at_least,
)
from infomax.pairs.draws import draw_examples, draw_locations, draw_rows
from infomax.pairs.pairing import Pairing

__all__ = ["Rows", "has_location", "pair_map", "pair_rows", "present_examples", "rows_of"]


class Rows(NamedTuple):
    """Local and global features as rows, and the pairs that they form.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_rows
        >>> rows = pair_rows(torch.randn(4, 8, 3, 3), torch.randn(4, 5))
        >>> rows.local.shape, rows.global_.shape, rows.kept is None
        (torch.Size([36, 8]), torch.Size([4, 5]), True)
    """

    local: Tensor
    """(K, c): a view of a channels-last map, or a copy of a channels-first one. Given negatives come last. Rows from
    ``pair_map`` hold the map itself, (N, c, P)."""
    global_: Tensor
    """(M, d)."""
    pairing: Pairing
    kept: Tensor | None = None
    """(N',), the examples that have a real location, in order; None where all N have one."""
    own: int = 0
    """Number M of marginal rows of each global in the aligned rows of :func:`pair_own`; 0 for all other rows."""


def rows_of(features: Tensor) -> Tensor:
    """Return features (N, c, \\*spatial) as (N, P, c): a view, whatever the memory format.

    Raises:
        TypeError: the features are not a dense tensor of a real floating dtype.
        ValueError: they have no channel axis.

    Example:
        >>> import torch
        >>> from infomax.pairs import rows_of
        >>> rows_of(torch.randn(4, 8, 3, 3)).shape, rows_of(torch.randn(4, 8)).shape
        (torch.Size([4, 9, 8]), torch.Size([4, 1, 8]))
    """
    if check_floating("features", features).ndim < 2:
        raise ValueError(f"features must have shape (N, c) or (N, c, *spatial), got {shape_of(features)}")
    return rearrange(features, "n c -> n 1 c") if features.ndim == 2 else rearrange(features, "n c ... -> n (...) c")


def has_location(mask: Tensor) -> Tensor:
    """Return whether each example has a real location, (N,) bool, from a mask (N, \\*spatial); N may be 0."""
    return mask.reshape(mask.shape[0], math.prod(mask.shape[1:])).any(1)


def present_examples(mask: Tensor | None, *, at_least: int = 2) -> Tensor | None:
    """Return the examples with a real location, (N',), in order; None where all of them have one.

    Args:
        mask: bool, (N, \\*spatial), True at a real location; None where every location is real.
        at_least: the smallest N'.

    Raises:
        ValueError: fewer than ``at_least`` examples have a real location, or the mask is on the meta device.
    """
    if mask is None:
        return None
    check_holds_values(mask=mask)
    kept = has_location(mask).nonzero().squeeze(1)
    check_present(len(kept), mask, at_least=at_least)
    # A compiled graph must not depend on the values of the mask.
    return None if not torch.compiler.is_compiling() and len(kept) == len(mask) else kept


class _Own(NamedTuple):
    """The local rows that form joint pairs."""

    rows: Tensor
    """(J / Q, c)."""
    example: Tensor
    """(J / Q,), the example of each row, in ascending order."""
    locations: int | None
    """P where every example has all its P locations, else None."""
    kept: Tensor | None
    """The examples with a real location; None where all have one."""


def pair_rows(
    local: Tensor,
    global_: Tensor,
    mask: Tensor | None = None,
    *,
    batch: Tensor | None = None,
    negatives: Tensor | None = None,
    group: Tensor | None = None,
    in_batch: bool = True,
    sample_locations: int | None = None,
    sample_negatives: int | None = None,
    generator: torch.Generator | None = None,
    at_least: int = 2,
    names: tuple[str, str] = ("local", "global_"),
) -> Rows:
    """Check the features, leave out rows that are masked or not drawn, and pair the remaining rows.

    An example without a real location is left out entirely: its globals form no rows either.

    Args:
        local: local features, shape (N, c, \\*spatial); or rows (K, c) with ``batch``.
        global_: global features, shape (N, d) or (N, d, \\*spatial).
        mask: bool, shape (N, \\*spatial), True at a real location.
        batch: integers, shape (K,): the example of each row of ``local``, in any order.
        negatives: more marginal rows for every global, shape (L, c) or (L, c, \\*spatial).
        group: integers, shape (N,); examples of the same group are not negatives of each other. With shape (N,), the
            given negatives are negatives of every example; with shape (N + L,), the last L are their groups.
        in_batch: whether the other examples' rows are marginal; when False, only ``negatives`` are.
        sample_locations: number of (real) locations to draw per example, without replacement; all when None.
        sample_negatives: number of other examples whose locations each global is scored against; all when None.
        generator: the generator of the draws; torch's global one when None.
        at_least: smallest number of examples with a real location, where the negatives come from the batch.
        names: names of both sides, for messages.

    Raises:
        TypeError: a dtype is not floating, the mask is not bool, or an index is not an integer.
        ValueError: shapes, batch sizes, indices or devices do not fit, or there are too few examples.

    Example:
        >>> import torch
        >>> from infomax.pairs import pair_rows
        >>> mask = torch.ones(4, 3, dtype=torch.bool)
        >>> mask[0] = False  # the first example has no real location: it is left out
        >>> rows = pair_rows(torch.randn(4, 8, 3), torch.randn(4, 5), mask)
        >>> rows.kept, rows.local.shape
        (tensor([1, 2, 3]), torch.Size([9, 8]))
    """
    if negatives is not None or not in_batch:
        check_negatives(negatives, local, in_batch=in_batch, sample_negatives=sample_negatives, name=names[0])
        at_least = min(at_least, 1)
    check_features(local, global_, mask, batch=batch, at_least=at_least, names=names)
    check_generator(generator)
    if sample_locations is not None:
        check_positive("sample_locations", sample_locations)
    if sample_negatives is not None:
        check_integer("sample_negatives", sample_negatives)  # its range depends on the examples present
    if batch is None:
        own = _map_rows(local, mask, sample_locations, generator, at_least)
    else:
        check_index(batch, local, len(global_))
        own = _ragged_rows(local, batch, len(global_), sample_locations, generator)
    globals_ = rows_of(global_ if own.kept is None else global_[own.kept])
    n, q = globals_.shape[:2]
    rows, key_group, query_group, groups = own.rows, own.example, None, n
    beside_group = group_names = None
    if group is not None:
        check_group(group, global_, negatives, sample_negatives=sample_negatives)
        own_group, given = group[: len(global_)], group[len(global_) :]
        own_group = own_group if own.kept is None else own_group[own.kept]
        beside_group = given if len(given) else None
        if at_least and (negatives is None or beside_group is not None):  # 0 if other processes may hold the negatives
            which = "the examples with a real location and the given negatives" if in_batch else "the given negatives"
            if beside_group is None:
                which = "the examples with a real location"
            check_groups_left(own_group, torch.cat([own_group, given] if in_batch else [given]), which)
        group_names, ids = torch.unique(torch.cat([own_group, given]).long(), return_inverse=True)
        groups, beside_group = len(ids), None if beside_group is None else ids[n:]
        key_group, query_group = ids[:n][own.example], ids[:n].repeat_interleave(q)
    marginal = None
    # A compiled graph draws even if it draws all other examples, so that it is the same graph for this batch size.
    if sample_negatives is not None and (torch.compiler.is_compiling() or sample_negatives != n - 1):
        left_out, drawn = draw_examples(n, sample_negatives, local.device, generator)
        query_group, marginal = left_out.repeat_interleave(q), drawn[own.example].nonzero().squeeze(1)
    if negatives is not None:
        more = rows_of(negatives)
        if beside_group is None:  # given negatives get a group of their own, which no global excludes
            beside_group, groups = torch.full((len(more),), groups, device=local.device), groups + 1
        beside_group = beside_group.repeat_interleave(more.shape[1])
        beside = torch.arange(len(rows), len(rows) + len(beside_group), device=local.device)
        rows = torch.cat([rows, rearrange(more, "l p c -> (l p) c").to(rows.dtype)])
        key_group = torch.cat([key_group, beside_group])
        if not in_batch:
            marginal = beside
        elif marginal is not None:
            marginal = torch.cat([marginal, beside])
    pairing = Pairing(
        n,
        q,
        own.example,
        locations=own.locations,
        key_group=None if key_group is own.example else key_group,
        query_group=query_group,
        marginal_rows=marginal,
        groups=groups,
        names=group_names,
    )
    return Rows(rows, rearrange(globals_, "n q d -> (n q) d"), pairing, own.kept)


def pair_map(local: Tensor, global_: Tensor) -> Rows:
    """Check the features and pair them as :func:`pair_rows` does, but keep the map as it is, without a copy.

    Args:
        local: local features, shape (N, c, \\*spatial).
        global_: global features, shape (N, d) or (N, d, \\*spatial).

    Returns:
        Rows whose ``local`` is the map, (N, c, P).

    Raises:
        TypeError: a dtype is not floating.
        ValueError: shapes, batch sizes or devices do not fit, or there are too few examples.
    """
    check_features(local, global_)
    map_, globals_ = local.flatten(2), rows_of(global_)
    (n, q), p = globals_.shape[:2], map_.shape[2]
    example = torch.arange(n, device=local.device).repeat_interleave(p)
    return Rows(map_, rearrange(globals_, "n q d -> (n q) d"), Pairing(n, q, example, locations=p))


def _map_rows(
    local: Tensor, mask: Tensor | None, sample: int | None, generator: torch.Generator | None, at_least: int
) -> _Own:
    rows = rows_of(local)
    present = None if mask is None else mask.reshape(*rows.shape[:2])
    kept = present_examples(mask, at_least=at_least)
    if kept is not None and present is not None:
        rows, present = rows[kept], present[kept]
    if sample is not None and sample < rows.shape[1]:
        rows, present = draw_locations(rows, present, sample, generator)
    n, p = rows.shape[:2]
    if present is not None:
        real = present.flatten().nonzero().squeeze(1)
        hint_at_least(len(real), at_least)
        return _Own(rearrange(rows, "n p c -> (n p) c")[real], real // p, None, kept)
    example = torch.arange(n, device=local.device).repeat_interleave(p)
    return _Own(rearrange(rows, "n p c -> (n p) c"), example, p, kept)


def _ragged_rows(
    local: Tensor, batch: Tensor, examples: int, sample: int | None, generator: torch.Generator | None
) -> _Own:
    example = batch.long()
    # A compiled graph must not depend on the values of the index.
    if torch.compiler.is_compiling() or bool((example[1:] < example[:-1]).any()):
        order = example.argsort(stable=True)
        local, example = local[order], example[order]
    if sample is not None:
        drawn = draw_rows(example, sample, generator)
        hint_at_least(len(drawn), examples)
        local, example = local[drawn], example[drawn]
    return _Own(local, example, len(local) if examples == 1 else None, None)
