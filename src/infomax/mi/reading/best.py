"""The best estimate, and an interval meant to hold the truth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infomax.mi.reading.cells import cell_terms
from infomax.mi.reading.held_out import FoldCritic, Reading, clustering, interval_of, unseen
from infomax.mi.reading.neighbours import find_neighbourhoods, neighbour_terms
from infomax.mi.reading.optimism import optimism

__all__ = ["Best", "best_estimate", "beyond_chance"]

_NEIGHBOURS = (20, 5, 2)  # more neighbours: less variance; fewer neighbours: less bias
_FARTHEST = 2.0  # largest step to no neighbours, as a multiple of the difference between two numbers of neighbours
_ANCHORS = 10_000  # rows around which boxes are built, at most
_POOL = 20_000  # rows among which neighbours are sought, at most
_OVERLAP = 1.5  # factor by which overlapping boxes raise the standard error with 5 neighbours, under independence
# A squared difference below this many variances counts as chance: in general, once the interval excludes 0, and at the
# last step, which varies most.
_SURE, _LIKELY, _SUREST = 2.0, 0.25, 4.0
_MISSED = 0.25  # what neighbours may have missed, as a share of what they added to the bound
_UNLEARNT = 0.3  # what networks may not have learnt yet, as a share of what they added to their start
_SUMS = 0.015  # error of sums over marginal pairs and of ranks that a standard error does not show, as a share of nats
_DETAIL = 0.015  # what neither critics nor boxes resolve where a side has several coordinates, as a share of nats


class Best(NamedTuple):
    """The best estimate, in nats."""

    nats: float
    """The estimate, not below 0."""
    low: float
    high: float
    method: str
    """How the estimate was found."""
    different: int
    """Number of rows without copies."""
    rise: float
    """Nats by which the estimate rises from 5 to 2 neighbours, less its standard error; 0 for two sides of labels."""


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
    alone: Tensor,
    groups: Tensor | None = None,
) -> Best:
    r"""Add to the bound what it loses on unseen rows, and what nearest neighbours corrected by the critic find beyond.

    .. math:: \hat I_0 = B + \Big(1 - \frac{2 \sigma_B^2}{B^2}\Big)_+ \hat H, \qquad
              \hat I_j = \hat I_{j - 1} + \Big(1 - \frac{c \, \sigma^2}{D^2}\Big)_+ D, \qquad
              D = (\hat N_j - \hat I_{j - 1})_+

    B is the bound, and H comes from :func:`~infomax.mi.reading.optimism.optimism`. Each step j moves on to an estimate
    with more variance and less bias: with 20 neighbours, with 5, with no neighbours by a line through these two
    (:func:`_at_none`), and by a line through 5 and 2. Two sides of labels have no neighbours, so there N comes from
    :func:`~infomax.mi.reading.cells.cell_terms`, in two equal steps. The standard error of B is sigma_B, and that of
    the difference D is sigma. Where a difference may be chance, the estimate stays as it is, so it is 0 where nothing
    was found. The factor c is 2 while the interval includes 0, 0.25 once it excludes 0, and 4 at the last step.

    Args:
        x: (n, dx), all rows on the scale on which neighbours are sought.
        y: (n, dy), likewise.
        dims: number of coordinates along which a box shrinks as its neighbours become fewer.
        pairs: number of pairs of a coordinate of x with one of y, among which information may stay unnoticed; a side of
            L labels counts as L - 1 coordinates.
        critics: the critic of each fold.
        tests: the test rows of each fold.
        reading: the bound as read on the test rows.
        confidence: confidence level of the interval.
        generator: generator of the subsample of rows, where they are many, and of the draws.
        alone: rows without copies, on the CPU.
        groups: (n,), group of each row; None for independent rows.
    """
    n = len(x) if groups is None else len(torch.unique(groups))  # independent units: rows, or groups of rows
    terms, anchors = _terms(x, y, critics, tests, generator, alone, groups)
    of_anchors = None if groups is None else groups[anchors]
    certified = math.log(len(alone))  # the most nats that this number of different rows can show
    gap = optimism(critics, tests)
    raised = _share(reading.nats, reading.standard_error, _SURE) * gap.correction
    raised = min(raised, max(0.0, certified - reading.nats))
    nats, error, doubt, before = reading.nats + raised, reading.standard_error, 0.0, reading.pointwise[anchors]
    luck = float(reading.pointwise[anchors].mean() - reading.pointwise.mean())  # the anchors may be a subsample
    for of_rows, last in _steps(terms, dims):
        difference = max(0.0, min(float(of_rows.mean()) - luck, certified) - nats)
        chance = _standard_error(of_rows - before, of_anchors)
        dependent = interval_of(nats, error, reading.blocks, confidence, n).low > 0
        share = _share(difference, chance, _SUREST if last else _LIKELY if dependent else _SURE)
        doubt = doubt if last and share == 0 else chance
        nats += share * difference
        error = math.hypot((1 - share) * error, share * _standard_error(of_rows, of_anchors))
        before = before + share * (of_rows - before)
    added = nats - reading.nats - raised
    around = interval_of(nats, error, reading.blocks, confidence, n)
    # What the critic misses is partly missed within boxes, too. This and what was not learnt only make the estimate too
    # low, so they raise only the upper end.
    learnt = sum(critic.learnt for critic in critics) / len(critics)
    away = _MISSED * added + max(_UNLEARNT * learnt, (gap.start + gap.networks) / 2) + doubt
    nats = max(0.0, nats)
    below, above = beyond_chance(nats, dims)
    high = around.high + (away + above if nats > 0 else 0.0)
    high = max(high, unseen(pairs, confidence, n))
    low = max(0.0, min(around.low - below, nats))
    return Best(nats, low, high, _method(raised, added), len(alone), _rise(terms, of_anchors))


def beyond_chance(nats: float, coordinates: int) -> tuple[float, float]:
    """Return by how much the ends of an interval are moved down and up for errors that a standard error does not show.

    Args:
        nats: the estimate, at least 0.
        coordinates: number of coordinates of both sides.
    """
    return _SUMS * nats, (_SUMS + _DETAIL * (coordinates > 2)) * nats


def _rise(terms: list[Tensor], groups: Tensor | None) -> float:
    if len(terms) == 1:
        return 0.0
    nearer = terms[-1] - terms[-2]
    return float(nearer.mean()) - _standard_error(nearer, groups)


def _steps(terms: list[Tensor], dims: int) -> list[tuple[Tensor, bool]]:
    """Return the terms of every step, with less bias from step to step, and whether they vary most."""
    if len(terms) == 1:  # labels: after the first step, the second one may add what the interval then no longer doubts
        return [(terms[0], False)] * 2
    many, few, fewest = terms
    lines = _at_none(_NEIGHBOURS[:2], (many, few), dims), _at_none(_NEIGHBOURS[1:], (few, fewest), dims)
    return [(many, False), (few, False), (lines[0], False), (lines[1], True)]


def _share(difference: float, chance: float, sure: float) -> float:
    """Return the share of a difference that is added, in [0, 1]; ``chance`` is its standard error."""
    return max(0.0, 1 - sure * chance**2 / difference**2) if difference > 0 else 0.0


def _method(raised: float, added: float) -> str:
    if added > 0:
        return "nearest neighbours corrected by held-out critics"
    return "held-out critics, corrected for what they lose on unseen rows" if raised > 0 else "held-out critics"


def _at_none(neighbours: tuple[int, ...], terms: tuple[Tensor, Tensor], dims: int) -> Tensor:
    r"""Extrapolate the terms of two numbers of neighbours to no neighbours.

    Let the density ratio be smooth, and let the critic miss a part of it. Within a box of half-width r, this part
    shifts the mean by about :math:`r^2`. The box of k neighbours in d coordinates has :math:`r \propto k^{1 / d}`, so
    the bias is about proportional to :math:`k^{2 / d}`.
    """
    more, less = terms
    if dims == 0:
        return less
    further: float = 1 / ((neighbours[0] / neighbours[1]) ** (2 / dims) - 1)
    return less + min(further, _FARTHEST) * (less - more)


def _standard_error(values: Tensor, groups: Tensor | None) -> float:
    """Return the standard error of the mean of terms (n,): boxes overlap, and rows of a group may be dependent."""
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
    """Return the terms of the anchors for each number of neighbours, once for two sides of labels; and the anchors."""
    n = len(x)
    groups = torch.arange(n, device=x.device) if groups is None else groups
    pool = alone if len(alone) <= _POOL else alone[torch.randperm(len(alone), generator=generator)[:_POOL]]
    among = torch.zeros(n, dtype=torch.bool)
    among[pool] = True
    terms: list[list[Tensor]] = []
    anchors = []
    for critic, test in zip(critics, tests, strict=True):
        some = test[among.to(test.device)[test]][: max(1, _ANCHORS // len(tests))]
        rows, scores = pool.to(x.device), critic.joint_scores(some)
        if x.is_floating_point() or y.is_floating_point():
            boxes = find_neighbourhoods(x, y, some, rows, _NEIGHBOURS, generator, groups, scores)
            terms.append([neighbour_terms(around, critic.scores) for around in boxes])
        else:
            terms.append([cell_terms(x, y, some, rows, groups, scores)])
        anchors.append(some)
    return [torch.cat(of_k) for of_k in zip(*terms, strict=True)], torch.cat(anchors)
