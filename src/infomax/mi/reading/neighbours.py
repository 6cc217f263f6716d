"""Nearest neighbours corrected by the critic: an estimate that is exact where either of its parents is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbourhoods", "find_neighbourhoods", "neighbour_terms"]

_CHUNK = 2_000_000  # distances held at a time
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
    of_x = torch.cdist(x[anchors], x[pool], p=float("inf"))
    of_y = torch.cdist(y[anchors], y[pool], p=float("inf"))
    own = groups[anchors][:, None] == groups[pool]
    of_x.masked_fill_(own, float("inf"))
    of_y.masked_fill_(own, float("inf"))
    joint = torch.maximum(of_x, of_y)
    nearest = joint.topk(min(max(neighbours), joint.shape[1]), dim=1, largest=False).values
    size = torch.digamma((~own).sum(1).double() + 1)
    found = []
    for k in neighbours:
        radius = nearest[:, min(k, nearest.shape[1]) - 1, None]
        found.append(_boxes(of_x, of_y, joint, radius, pool, size, generator))
    return found


def _boxes(
    of_x: Tensor, of_y: Tensor, joint: Tensor, radius: Tensor, pool: Tensor, size: Tensor, generator: torch.Generator
) -> Neighbourhoods:
    held = (joint <= radius).sum(1, keepdim=True)
    tied = (joint == radius).sum(1, keepdim=True) > 1
    in_x, in_y = (torch.where(tied, side <= radius, side < radius) for side in (of_x, of_y))
    rows_x, rows_y = in_x.sum(1), in_y.sum(1)
    # Ties make the box one of given size, whose rows are counted; else its size is that of the k-th neighbour.
    inside = torch.where(tied, held + 1, held).squeeze(1).double()
    count = torch.digamma(inside) + size - torch.digamma(rows_x.double() + 1) - torch.digamma(rows_y.double() + 1)
    x_rows, y_rows = _drawn(in_x, rows_x, generator), _drawn(in_y, rows_y, generator)
    for _ in range(2):  # a joint row is no marginal pair
        again = _drawn(in_y, rows_y, generator)
        y_rows = torch.where(x_rows == y_rows, again, y_rows)
    return Neighbourhoods(count, pool[x_rows], pool[y_rows])


def _drawn(inside: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """(n, draws) of the columns that are inside, each as likely as any other of its row."""
    columns = inside.nonzero()[:, 1]
    first = counts.cumsum(0) - counts
    share = torch.rand(len(counts), _DRAWS, generator=generator, dtype=torch.float64).to(inside.device)
    place = (share * counts[:, None]).long().clamp_max(counts[:, None] - 1)
    return columns[first[:, None] + place]


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
