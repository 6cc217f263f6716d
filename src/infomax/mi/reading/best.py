"""The best estimate, and an interval meant to hold the truth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.input.sides import row_codes
from infomax.mi.reading.familiar import familiar
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
    pairs: int,
    critics: list[FoldCritic],
    tests: list[Tensor],
    reading: Reading,
    confidence: float,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> Best:
    r"""Add to the bound what unseen rows hide, and what nearest neighbours, corrected by the critic, find beyond.

    .. math:: \hat I_0 = B + \Big(1 - \frac{2 \sigma_B^2}{B^2}\Big)_+ \hat H, \qquad
              \hat I_j = \hat I_{j - 1} + \Big(1 - \frac{c \, \sigma^2}{D^2}\Big)_+ D, \qquad
              D = (\hat N_j - \hat I_{j - 1})_+

    H is what :func:`~infomax.mi.reading.familiar.familiar` says. From there it goes on to estimates that vary more and
    miss less: 20 neighbours, 5, the line through these two at no neighbours at all (:func:`_at_none`), and the line
    through 5 and 2. sigma is the standard error, of B and of the difference D. Where either could be chance, the
    estimate stays, so it is 0 where nothing was found. Once the interval excludes 0, c is 0.25 in place of 2; for the
    last step it is 4.

    Args:
        x: (n, dx), all rows on the scale in which neighbours are sought.
        y: (n, dy).
        dims: coordinates along which a box shrinks as neighbours become fewer.
        pairs: of a coordinate or label of x with one of y, among which rows may hide something.
        critics: one a fold.
        tests: the test rows of each fold.
        reading: of the bound.
        confidence: of the interval.
        generator: of rows, where they are many, and of draws.
        groups: (n,), rows that depend on each other.
    """
    n = len(x) if groups is None else len(torch.unique(groups))  # rows that depend on no other
    alone = torch.arange(len(x)) if groups is None else _without_copies(x, y, groups)
    terms, anchors = _terms(x, y, critics, tests, generator, alone, groups)
    of_anchors = None if groups is None else groups[anchors]
    certified = math.log(len(alone))  # so many different rows show no more
    hidden = familiar(critics, tests)
    raised = _share(reading.nats, reading.standard_error, _SURE) * hidden.hidden
    raised = min(raised, max(0.0, certified - reading.nats))
    nats, error, doubt, before = reading.nats + raised, reading.standard_error, 0.0, reading.pointwise[anchors]
    luck = float(reading.pointwise[anchors].mean() - reading.pointwise.mean())  # of the anchors, where rows are many
    many, few, fewest = terms
    steps = (many, few, _at_none(_NEIGHBOURS[:2], (many, few), dims), _at_none(_NEIGHBOURS[1:], (few, fewest), dims))
    for step, of_rows in enumerate(steps):
        difference = max(0.0, min(float(of_rows.mean()) - luck, certified) - nats)
        chance = _standard_error(of_rows - before, of_anchors)
        last = step == len(steps) - 1
        dependent = interval_of(nats, error, reading.blocks, confidence, n).low > 0
        share = _share(difference, chance, _SUREST if last else _LIKELY if dependent else _SURE)
        doubt = doubt if last and share == 0 else chance
        nats += share * difference
        error = math.hypot((1 - share) * error, share * _standard_error(of_rows, of_anchors))
        before = before + share * (of_rows - before)
    added = nats - reading.nats - raised
    around = interval_of(nats, error, reading.blocks, confidence, n)
    # What the critic misses is missed in part within boxes, too; it always lies above. So does what was not learnt.
    learnt = sum(critic.learnt for critic in critics) / len(critics)
    away = _MISSED * added + max(_UNLEARNT * learnt, (hidden.start + hidden.networks) / 2) + doubt
    high = around.high + (away if nats > 0 else 0.0)
    high = max(high, unseen(pairs, confidence, n))
    low = min(around.low, max(0.0, nats))
    return Best(max(0.0, nats), low, high, _method(raised, added), len(alone))


def _share(difference: float, chance: float, sure: float) -> float:
    """How much of a difference is believed, in [0, 1], with a standard error of ``chance``."""
    return max(0.0, 1 - sure * chance**2 / difference**2) if difference > 0 else 0.0


def _method(raised: float, added: float) -> str:
    if added > 0:
        return "nearest neighbours corrected by held-out critics"
    return "held-out critics, raised by what rows they learnt from read" if raised > 0 else "held-out critics"


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
        boxes = find_neighbourhoods(
            x, y, some, pool.to(x.device), _NEIGHBOURS, generator, groups, critic.joint_scores(some)
        )
        for of_k, around in zip(terms, boxes, strict=True):
            of_k.append(neighbour_terms(around, critic.scores))
        anchors.append(some)
    return [torch.cat(of_k) for of_k in terms], torch.cat(anchors)


def _without_copies(x: Tensor, y: Tensor, groups: Tensor) -> Tensor:
    """Rows, on the CPU, of which no two of a group are equal: copies are no neighbours of anyone twice."""
    rows = torch.cat([x.double(), y.double(), groups[:, None].double().to(x.device)], 1)
    codes = row_codes(rows).cpu()
    first = torch.full((int(codes.max()) + 1,), len(codes)).scatter_reduce(0, codes, torch.arange(len(codes)), "amin")
    return first.sort().values
