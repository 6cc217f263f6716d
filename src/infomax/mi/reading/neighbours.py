"""Nearest neighbours corrected by the critic: an estimate that is exact where either of the two is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbourhoods", "find_neighbourhoods", "neighbour_terms"]

_CHUNK = 2_000_000  # distances held at a time
_FAR = 1e6  # distance between different labels: farther than any two ranks
_PART = 100_000  # distances computed at a time, so that they stay in the processor's cache
_DRAWS = 32  # pairs of the box around a row over which e^T is averaged, at least
_MOST_DRAWS = 512
_HITS = 8  # expected draws at a peak of e^T at which the correction has weight 1/2; the draws aim at twice as many


class Neighbourhoods(NamedTuple):
    """The boxes around anchors, each of which holds the k nearest joint neighbours of its anchor."""

    terms: Tensor
    """(n,), the estimate by neighbours alone: log of the share of joint rows in the box over that of marginal pairs."""
    scores: Tensor
    """(n,), the critic's scores of the anchors, nats."""
    draws: Tensor
    """(n,), number of pairs drawn from each box."""
    distinct: Tensor
    """(n,), number of different pairs that a box has."""
    x_rows: Tensor
    """(sum of draws,), rows drawn from those whose x is in the box of the anchor, ordered by anchor."""
    y_rows: Tensor
    """(sum of draws,), likewise for y; drawn again, up to twice, where it equals the row of x in the same pair."""


def find_neighbourhoods(
    x: Tensor,
    y: Tensor,
    anchors: Tensor,
    pool: Tensor,
    neighbours: tuple[int, ...],
    generator: torch.Generator,
    groups: Tensor,
    scores: Tensor,
) -> list[Neighbourhoods]:
    r"""Count the rows around each anchor, and draw marginal pairs from the box.

    .. math:: \psi(k) + \psi(n) - \psi(n_x + 1) - \psi(n_y + 1)

    Here n_x and n_y are the numbers of rows that are nearer than the k-th joint neighbour on each side. Where several
    rows are exactly as far as this neighbour, because its label has fewer than k other rows, the box includes its edge,
    and k becomes 1 plus the number of rows in the box. Numbers must not repeat: see
    :func:`~infomax.mi.reading.places.ranks_without_ties`.

    Args:
        x: (N, dx), all rows: floats, on a scale common to both sides; or (N, 1) integers, codes of labels that are all
            equally far from each other.
        y: (N, dy), likewise.
        anchors: (n,), rows around which boxes are built.
        pool: (m,), rows among which neighbours are sought.
        neighbours: numbers of neighbours k, each at least 2; boxes are returned for each number.
        generator: generator of the draws.
        groups: (N,), group numbers; rows of an anchor's own group are not neighbours.
        scores: (n,), the critic's scores of the anchors, nats; more pairs are drawn where the critic is sharper.

    Source:
        Kraskov, Stögbauer & Grassberger 2004, eq. 8; Ross 2014 for labels beside numbers.
    """
    size = max(1, _CHUNK // len(pool))
    found = [
        _around(x, y, some, pool, neighbours, generator, groups, of_some)
        for some, of_some in zip(*(torch.split(rows, size) for rows in (anchors, scores)), strict=True)
    ]
    return [Neighbourhoods(*map(torch.cat, zip(*of_k, strict=True))) for of_k in zip(*found, strict=True)]


def _around(
    x: Tensor,
    y: Tensor,
    anchors: Tensor,
    pool: Tensor,
    neighbours: tuple[int, ...],
    generator: torch.Generator,
    groups: Tensor,
    scores: Tensor,
) -> list[Neighbourhoods]:
    own = groups[anchors][:, None] == groups[pool]
    of_x, of_y = (_distances(side[anchors], side[pool]).masked_fill_(own, math.inf) for side in (x, y))
    joint = torch.maximum(of_x, of_y)
    others = joint.shape[1] - torch.bincount(own.nonzero()[:, 0], minlength=len(own))
    nearest = joint.topk(min(max(neighbours) + 1, joint.shape[1]), dim=1, largest=False).values
    size = torch.digamma(others.double() + 1)
    near_x = near_y = None
    found = {}
    for k in sorted(neighbours, reverse=True):  # a box of fewer neighbours lies inside a box of more
        held = min(k, joint.shape[1])
        radius = nearest[:, held - 1 : held]
        tied = (nearest == radius).sum(1, keepdim=True) > 1
        # With ties, the box reaches to the k-th neighbour inclusive, and its rows are counted. Otherwise it holds k
        # rows.
        inside = torch.full((len(anchors),), float(held), dtype=torch.float64, device=x.device)
        where = tied.squeeze(1)
        inside[where] = (joint[where] <= radius[where]).sum(1).double() + 1
        limit = torch.where(tied, radius, radius.nextafter(radius.new_tensor(-math.inf)))
        near_x = _Near.of(of_x, limit) if near_x is None else near_x.within(limit)
        near_y = _Near.of(of_y, limit) if near_y is None else near_y.within(limit)
        terms = torch.digamma(inside) + size
        terms = terms - torch.digamma(near_x.counts.double() + 1) - torch.digamma(near_y.counts.double() + 1)
        draws = (2 * _HITS * (scores - terms).exp()).clamp(_DRAWS, _MOST_DRAWS).long()
        drawn = (pool[rows] for rows in _marginal_pairs(near_x, near_y, draws, generator))
        found[k] = Neighbourhoods(terms, scores, draws, near_x.counts * near_y.counts, *drawn)
    return [found[k] for k in neighbours]


def _distances(some: Tensor, others: Tensor) -> Tensor:
    """Return distances (n, m): the largest difference over coordinates; for labels, 0 if equal and far if not."""
    if not some.is_floating_point():
        return (some != others.T).float() * _FAR
    result = some.new_empty(len(some), len(others))
    first, *rest = others.T.contiguous()
    size = max(1, _PART // len(others))
    for part, rows in zip(torch.split(result, size), torch.split(some, size), strict=True):
        torch.sub(rows[:, :1], first, out=part).abs_()
        for place, other in enumerate(rest, 1):
            torch.maximum(part, (rows[:, place, None] - other).abs_(), out=part)
    return result


class _Near(NamedTuple):
    """The columns of a table of distances that are within a limit, for each row."""

    rows: Tensor
    columns: Tensor
    distances: Tensor
    counts: Tensor
    """(n,), number of columns for each row."""

    @classmethod
    def of(cls, distances: Tensor, limit: Tensor) -> _Near:
        """Keep the distances (n, m) that are at most ``limit``, (n, 1)."""
        rows, columns = (distances <= limit).nonzero(as_tuple=True)
        return cls(rows, columns, distances[rows, columns], torch.bincount(rows, minlength=len(distances)))

    def within(self, limit: Tensor) -> _Near:
        """Keep the distances that are at most a smaller limit, (n, 1)."""
        kept = self.distances <= limit.squeeze(1)[self.rows]
        rows = self.rows[kept]
        counts = torch.bincount(rows, minlength=len(self.counts))
        return _Near(rows, self.columns[kept], self.distances[kept], counts)

    def drawn(self, draws: Tensor, generator: torch.Generator) -> Tensor:
        """Draw columns uniformly, with replacement: for each row as many as ``draws`` (n,) says."""
        first = self.counts.cumsum(0) - self.counts
        share = torch.rand(int(draws.sum()), generator=generator, dtype=torch.float64).to(first.device)
        counts = self.counts.repeat_interleave(draws)
        place = torch.minimum((share * counts).long(), counts - 1)
        return self.columns[first.repeat_interleave(draws) + place]


def _marginal_pairs(x: _Near, y: _Near, draws: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x_rows, y_rows = x.drawn(draws, generator), y.drawn(draws, generator)
    for _ in range(2):  # a row paired with itself is no marginal pair
        y_rows = torch.where(x_rows == y_rows, y.drawn(draws, generator), y_rows)
    return x_rows, y_rows


def neighbour_terms(boxes: Neighbourhoods, scores: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    r"""Return the contribution of each anchor to the estimate, (n,), nats.

    .. math:: T_i + w_i \Big( \psi(k) + \psi(n) - \psi(n_x + 1) - \psi(n_y + 1)
              - \log \operatorname{mean}_{a, b} e^{T(x_a, y_b)} - \min\big( v_i / 2m, 1/4 \big) \Big),
              \qquad T_i = T(x_i, y_i)

    The log of a mean of m draws is too low by half its relative variance. This variance is v_i / m, with v_i the
    relative variance of e^T in the box. The last term corrects this, by at most 1/4. Where a box has fewer than m
    different pairs, m is their number.

    Neighbours give the mean density ratio of a box. The critic gives the difference between the ratio at the middle of
    the box and that mean. With a constant critic the estimate is that of nearest neighbours. With the log density ratio
    as critic it is right in boxes of any size, and so in any dimension. Only what the critic misses within a box is
    lost.

    Suppose that e^T is as high as at the anchor in only one of P pairs of the box. Then about m / P of m draws hit that
    peak. With few hits or none, the mean of the draws is far too low, and the estimate is too high. So the correction
    has the weight :math:`w_i = 1 / (1 + (8 P / m)^2)`; with a weight of 0, the critic's own score remains. P is the
    ratio of :math:`e^{T_i}` to the mean of the box, minus 1. It is 0 for a constant critic. The mean of the box is that
    of the draws or the neighbours' estimate, whichever is larger.

    Args:
        boxes: the boxes of the anchors.
        scores: the critic, a function from rows of x (n,) and of y (n, K) to scores (n, K). It is normalised: the mean
            of e^T over marginal pairs is 1.
    """
    met = scores(boxes.x_rows, boxes.y_rows[:, None]).squeeze(1)
    log_mean, variance = _log_mean(met, boxes.draws)
    pairs_seen = torch.minimum(boxes.draws, boxes.distinct).clamp_min(1)
    # The log of a mean of few draws is too low by half its relative variance.
    correction = boxes.terms - log_mean - (variance / (2 * pairs_seen)).clamp_max(0.25)
    pairs_per_peak = (boxes.scores - torch.maximum(boxes.terms, log_mean)).expm1().clamp_min(0)
    return boxes.scores + correction / (1 + (_HITS * pairs_per_peak / pairs_seen).square())


def _log_mean(scores: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log of the mean of e^T over the draws of each anchor, and the relative variance of e^T among them."""
    anchor = torch.arange(len(draws), device=scores.device).repeat_interleave(draws)
    highest = torch.full_like(draws, -math.inf, dtype=scores.dtype).scatter_reduce(0, anchor, scores, "amax")
    relative = (scores - highest[anchor]).exp()
    zero = torch.zeros_like(highest)
    mean = zero.index_add(0, anchor, relative) / draws
    spread = zero.index_add(0, anchor, (relative / mean[anchor] - 1).square()) / (draws - 1)
    return highest + mean.log(), spread
