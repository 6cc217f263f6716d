"""Nearest neighbours corrected by the critic: an estimate that is exact where either of its parents is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbourhoods", "find_neighbourhoods", "neighbour_terms"]

_CHUNK = 2_000_000  # distances held at a time
_PART = 100_000  # of which so many are made at a time, as they stay in a processor's cache
_DRAWS = 32  # pairs of the box around a row over which e^T is averaged


class Neighbourhoods(NamedTuple):
    """The box around each anchor that holds its k nearest joint neighbours."""

    terms: Tensor
    """(n,), what neighbours alone say: the log of the share of joint rows in the box over that of marginal pairs."""
    x_rows: Tensor
    """(n, draws), rows drawn from those whose x lies in the box."""
    y_rows: Tensor
    """(n, draws), likewise for y; never the row of x beside it, where there are others."""


def find_neighbourhoods(
    x: Tensor,
    y: Tensor,
    anchors: Tensor,
    pool: Tensor,
    neighbours: tuple[int, ...],
    generator: torch.Generator,
    groups: Tensor,
) -> list[Neighbourhoods]:
    r"""Count the rows around each anchor, and draw marginal pairs from the box.

    .. math:: \psi(k) + \psi(n) - \psi(n_x + 1) - \psi(n_y + 1)

    with n_x and n_y the rows nearer than the k-th joint neighbour on each side. Where several rows lie exactly as far
    as that (values that repeat), the box holds its edge, and k becomes 1 and the rows in it.

    Args:
        x: (N, dx), all rows, on a scale common to both sides.
        y: (N, dy).
        anchors: (n,), rows around which to look.
        pool: (m,), rows to look among.
        neighbours: numbers k, each at least 2, for each of which boxes are returned.
        generator: of the draws.
        groups: (N,), numbers of groups: rows of an anchor's own are no neighbours.

    Source:
        Kraskov, Stögbauer & Grassberger 2004, eq. 8; Gao, Kannan, Oh & Viswanath 2017 for values that repeat.
    """
    found = [
        _around(x, y, some, pool, neighbours, generator, groups)
        for some in torch.split(anchors, max(1, _CHUNK // len(pool)))
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
) -> list[Neighbourhoods]:
    own = groups[anchors][:, None] == groups[pool]
    of_x, of_y = (_distances(side[anchors], side[pool]).masked_fill_(own, math.inf) for side in (x, y))
    joint = torch.maximum(of_x, of_y)
    others = joint.shape[1] - torch.bincount(own.nonzero()[:, 0], minlength=len(own))
    nearest = joint.topk(min(max(neighbours) + 1, joint.shape[1]), dim=1, largest=False).values
    size = torch.digamma(others.double() + 1)
    near_x = near_y = None
    found = {}
    for k in sorted(neighbours, reverse=True):  # a box of fewer neighbours lies in that of more
        held = min(k, joint.shape[1])
        radius = nearest[:, held - 1 : held]
        tied = (nearest == radius).sum(1, keepdim=True) > 1
        # Ties make the box one of given size, whose rows are counted; else its size is that of the k-th neighbour.
        inside = torch.full((len(anchors),), float(held), dtype=torch.float64, device=x.device)
        where = tied.squeeze(1)
        inside[where] = (joint[where] <= radius[where]).sum(1).double() + 1
        limit = torch.where(tied, radius, radius.nextafter(radius.new_tensor(-math.inf)))
        near_x = _Near.of(of_x, limit) if near_x is None else near_x.within(limit)
        near_y = _Near.of(of_y, limit) if near_y is None else near_y.within(limit)
        terms = torch.digamma(inside) + size
        found[k] = Neighbourhoods(
            terms - torch.digamma(near_x.counts.double() + 1) - torch.digamma(near_y.counts.double() + 1),
            *(pool[rows] for rows in _marginal_pairs(near_x, near_y, generator)),
        )
    return [found[k] for k in neighbours]


def _distances(some: Tensor, others: Tensor) -> Tensor:
    """(n, m), the largest difference of a coordinate."""
    result = some.new_empty(len(some), len(others))
    first, *rest = others.T.contiguous()
    size = max(1, _PART // len(others))
    for part, rows in zip(torch.split(result, size), torch.split(some, size), strict=True):
        torch.sub(rows[:, :1], first, out=part).abs_()
        for place, other in enumerate(rest, 1):
            torch.maximum(part, (rows[:, place, None] - other).abs_(), out=part)
    return result


class _Near(NamedTuple):
    """Of each row, the columns within a limit."""

    rows: Tensor
    columns: Tensor
    distances: Tensor
    counts: Tensor
    """(n,), columns of each row."""

    @classmethod
    def of(cls, distances: Tensor, limit: Tensor) -> _Near:
        """Keep what is at most ``limit``, (n, 1), from a table (n, m)."""
        rows, columns = (distances <= limit).nonzero(as_tuple=True)
        return cls(rows, columns, distances[rows, columns], torch.bincount(rows, minlength=len(distances)))

    def within(self, limit: Tensor) -> _Near:
        """Keep what is at most a smaller limit."""
        kept = self.distances <= limit.squeeze(1)[self.rows]
        rows = self.rows[kept]
        counts = torch.bincount(rows, minlength=len(self.counts))
        return _Near(rows, self.columns[kept], self.distances[kept], counts)

    def drawn(self, generator: torch.Generator) -> Tensor:
        """(n, draws) columns, each as likely as any other of its row."""
        first = self.counts.cumsum(0) - self.counts
        share = torch.rand(len(self.counts), _DRAWS, generator=generator, dtype=torch.float64).to(first.device)
        place = (share * self.counts[:, None]).long().clamp_max(self.counts[:, None] - 1)
        return self.columns[first[:, None] + place]


def _marginal_pairs(x: _Near, y: _Near, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x_rows, y_rows = x.drawn(generator), y.drawn(generator)
    for _ in range(2):  # a joint row is no marginal pair
        y_rows = torch.where(x_rows == y_rows, y.drawn(generator), y_rows)
    return x_rows, y_rows


def neighbour_terms(boxes: Neighbourhoods, anchors: Tensor, scores: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    r"""What each anchor adds to the information, (n,), nats.

    .. math:: \psi(k) + \psi(n) - \psi(n_x + 1) - \psi(n_y + 1)
              - \log \operatorname{mean}_{a, b} e^{T(x_a, y_b) - T(x_i, y_i)}

    Neighbours tell the mean density ratio of a box, the critic how the ratio at its middle differs from that mean.
    With a constant critic it is the estimate of nearest neighbours; with the log density ratio it is right in boxes of
    any size, so in any dimension, and only what the critic misses within a box is lost.

    Args:
        boxes: of the anchors.
        anchors: (n,), the rows.
        scores: the critic, from rows of x (n,) and of y (n, K) to scores (n, K).
    """
    n, draws = boxes.x_rows.shape
    met = scores(boxes.x_rows.flatten(), boxes.y_rows.view(-1, 1)).view(n, draws)
    away = met - scores(anchors, anchors[:, None])
    log_mean = torch.logsumexp(away, 1) - math.log(draws)
    relative = (away - log_mean[:, None]).exp()
    # The log of a mean of so many draws is low, by half its relative variance.
    return boxes.terms - log_mean - relative.var(1).clamp_max(draws / 2) / (2 * draws)
