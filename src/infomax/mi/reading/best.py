"""The best estimate, and an interval meant to hold the truth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.input.sides import row_codes
from infomax.mi.reading.held_out import FoldCritic, Reading, clustering, interval_of, unseen
from infomax.mi.reading.neighbours import find_neighbourhoods, neighbour_terms

__all__ = ["Best", "best_estimate"]

_NEIGHBOURS = (20, 5, 2)  # many vary little, few miss little
_FARTHEST = 2.0  # times the difference of two numbers of neighbours that the line through them goes on, at most
_ANCHORS = 10_000  # rows around which boxes are looked at, at most
_POOL = 20_000  # rows among which neighbours are looked for, at most
_OVERLAP = 1.5  # by which a mean over 5 neighbours varies more than if boxes were apart, under independence
# Variances of the difference below which it is taken for chance: as it is, once there is dependence beyond doubt, and
# for the last step, which varies most.
_SURE, _LIKELY, _SUREST = 2.0, 0.25, 4.0
_MISSED = 0.25  # of what neighbours add to the bound, how much they may have missed
_UNLEARNT = 0.3  # of what networks add to their start, how much they may not have learnt yet


class Best(NamedTuple):
    """The best estimate, in nats."""

    nats: float
    """Not below 0."""
    low: float
    high: float
    method: str
    """How it was found."""
    different: int
    """Rows without copies."""


def best_estimate(
    x: Tensor,
    y: Tensor,
    dims: int,
    critics: list[FoldCritic],
    tests: list[Tensor],
    reading: Reading,
    confidence: float,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> Best:
    r"""Add to the bound what nearest neighbours, corrected by the critic, find beyond it.

    .. math:: \hat I_j = \hat I_{j - 1} + \Big(1 - \frac{c \, \sigma^2}{D^2}\Big)_+ D, \qquad
              D = (\hat N_j - \hat I_{j - 1})_+

    It begins with the bound and goes on to estimates that vary more and miss less: 20 neighbours, 5, the line through
    these two at no neighbours at all (:func:`_at_none`), and the line through 5 and 2. sigma is the difference's
    standard error. Where the difference could be chance, the estimate stays, so it is 0 where nothing was found. Once
    the interval excludes 0, c is 0.25 in place of 2; for the last step it is 4.

    Args:
        x: (n, dx), all rows on the scale in which neighbours are sought.
        y: (n, dy).
        dims: coordinates along which a box shrinks as neighbours become fewer.
        critics: one a fold.
        tests: the test rows of each fold.
        reading: of the bound.
        confidence: of the interval.
        generator: of rows, where they are many, and of draws.
        groups: (n,), rows that depend on each other.
    """
    n = len(x)
    alone = torch.arange(n) if groups is None else _without_copies(x, y, groups)
    terms, anchors = _terms(x, y, critics, tests, generator, alone, groups)
    of_anchors = None if groups is None else groups[anchors]
    nats, error, doubt, before = reading.nats, reading.standard_error, 0.0, reading.pointwise[anchors]
    many, few, fewest = terms
    steps = (many, few, _at_none(_NEIGHBOURS[:2], (many, few), dims), _at_none(_NEIGHBOURS[1:], (few, fewest), dims))
    for step, of_rows in enumerate(steps):
        found = min(float(of_rows.mean()), math.log(len(alone)))  # so many different rows show no more
        difference = max(0.0, found - nats)
        chance = _standard_error(of_rows - before, of_anchors)
        last = step == len(steps) - 1
        dependent = interval_of(nats, error, reading.blocks, confidence, n).low > 0
        sure = _SUREST if last else _LIKELY if dependent else _SURE
        share = max(0.0, 1 - sure * chance**2 / difference**2) if difference > 0 else 0.0
        doubt = doubt if last and share == 0 else chance
        nats += share * difference
        error = math.hypot((1 - share) * error, share * _standard_error(of_rows, of_anchors))
        before = before + share * (of_rows - before)
    added = nats - reading.nats
    around = interval_of(nats, error, reading.blocks, confidence, n)
    # What the critic misses is missed in part within boxes, too; it always lies above. A critic reads the rows it
    # learnt from too high by about as much as it reads others too low.
    learnt = sum(critic.learnt for critic in critics) / len(critics)
    by_heart = max(0.0, sum(critic.by_heart for critic in critics) / len(critics))
    away = _MISSED * added + max(_UNLEARNT * learnt, by_heart / 2) + doubt
    method = "nearest neighbours corrected by held-out critics" if added > 0 else "held-out critics"
    high = around.high + (away if nats > 0 else 0.0)
    high = max(high, unseen(x.shape[1] * y.shape[1], confidence, n))
    return Best(max(0.0, nats), min(around.low, max(0.0, nats)), high, method, len(alone))


def _at_none(neighbours: tuple[int, ...], terms: tuple[Tensor, Tensor], dims: int) -> Tensor:
    r"""Go on to no neighbours from the terms of two numbers of them.

    Within a box of half-width r, a smooth density ratio that the critic does not know changes the mean by about
    :math:`r^2`, and k neighbours in d coordinates lie within :math:`r \propto k^{1 / d}`: so what is missed is about
    proportional to :math:`k^{2 / d}`.
    """
    more, less = terms
    if dims == 0:
        return less
    further: float = 1 / ((neighbours[0] / neighbours[1]) ** (2 / dims) - 1)
    return less + min(further, _FARTHEST) * (less - more)


def _standard_error(values: Tensor, groups: Tensor | None) -> float:
    """Of the mean of neighbours' terms (n,), whose groups may depend within, and whose boxes overlap."""
    return _OVERLAP * float(values.std()) / math.sqrt(len(values)) * clustering(values, groups)


def _terms(
    x: Tensor,
    y: Tensor,
    critics: list[FoldCritic],
    tests: list[Tensor],
    generator: torch.Generator,
    alone: Tensor,
    groups: Tensor | None,
) -> tuple[list[Tensor], Tensor]:
    """Terms of the anchors for each number of neighbours, and the anchors."""
    n = len(x)
    groups = torch.arange(n, device=x.device) if groups is None else groups
    pool = alone if len(alone) <= _POOL else alone[torch.randperm(len(alone), generator=generator)[:_POOL]]
    among = torch.zeros(n, dtype=torch.bool)
    among[pool] = True
    terms: list[list[Tensor]] = [[] for _ in _NEIGHBOURS]
    anchors = []
    for critic, test in zip(critics, tests, strict=True):
        some = test[among.to(test.device)[test]][: max(1, _ANCHORS // len(tests))]
        boxes = find_neighbourhoods(x, y, some, pool.to(x.device), _NEIGHBOURS, generator, groups)
        for of_k, around in zip(terms, boxes, strict=True):
            of_k.append(neighbour_terms(around, some, critic.scores))
        anchors.append(some)
    return [torch.cat(of_k) for of_k in terms], torch.cat(anchors)


def _without_copies(x: Tensor, y: Tensor, groups: Tensor) -> Tensor:
    """Rows, on the CPU, of which no two of a group are equal: copies are no neighbours of anyone twice."""
    rows = torch.cat([x.double(), y.double(), groups[:, None].double().to(x.device)], 1)
    codes = row_codes(rows).cpu()
    first = torch.full((int(codes.max()) + 1,), len(codes)).scatter_reduce(0, codes, torch.arange(len(codes)), "amin")
    return first.sort().values
