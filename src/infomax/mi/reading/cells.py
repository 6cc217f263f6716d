"""Two sides of labels: an estimate from the numbers of rows with the same labels, corrected by the critic."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cell_terms", "excess"]

_CHUNK = 2_000_000  # comparisons held at a time
_FULL = 30.0  # expected rows of a cell from which the excess is below 1e-14


def cell_terms(x: Tensor, y: Tensor, anchors: Tensor, pool: Tensor, groups: Tensor, scores: Tensor) -> Tensor:
    r"""Return the contribution of each anchor to the estimate, (n,), nats.

    .. math:: \psi(n_{xy}) - \log \lambda_0 - E_1\big( \lambda_0 e^{T_i} \big), \qquad
              \log \lambda_0 = \psi(n_x) + \psi(n_y) - \psi(n)

    Here n_xy, n_x and n_y are the numbers of rows with both labels of the anchor, with that of x and with that of y,
    the anchor included. Let a cell have :math:`\lambda` other rows in expectation. Then :math:`\psi(n_{xy})` is above
    :math:`\log \lambda` by :func:`excess` on average, which is much where cells are nearly empty. The critic says how
    many rows to expect. So where the critic is right, the mean of the terms is that of its scores, however few rows
    there are. The score itself stands for an anchor with a label that no other row has.

    Args:
        x: (N, 1), codes of the labels of all rows.
        y: (N, 1), likewise.
        anchors: (n,), rows whose cells are counted.
        pool: (m,), rows that are counted.
        groups: (N,), group numbers; rows of an anchor's own group are not counted.
        scores: (n,), the critic's scores of the anchors, nats.

    Source:
        Grassberger 1988 for the digamma function; the correction by the critic is our own.
    """
    size = max(1, _CHUNK // len(pool))
    counts = []
    for some in torch.split(anchors, size):
        others = groups[some][:, None] != groups[pool]
        of_x, of_y = ((side[some] == side[pool].T) & others for side in (x, y))
        counts.append(torch.stack([table.sum(1) for table in (of_x & of_y, others, of_x, of_y)]))
    both, rows, of_x, of_y = torch.cat(counts, 1).double() + 1
    independent = torch.digamma(of_x) + torch.digamma(of_y) - torch.digamma(rows)
    terms = torch.digamma(both) - independent - excess((independent + scores).exp())
    return torch.where((of_x == 1) | (of_y == 1), scores, terms)


def excess(expected: Tensor) -> Tensor:
    r"""Return how far :math:`\psi(1 + K)` is above :math:`\log \lambda` on average, for K of a Poisson distribution.

    .. math:: \mathbb{E}[\psi(1 + K)] - \log \lambda = E_1(\lambda) = \int_\lambda^\infty \frac{e^{-t}}{t} \, dt

    Args:
        expected: the mean :math:`\lambda` of K, positive, float64.

    Example:
        >>> excess(torch.tensor([0.1, 1.0, 100.0], dtype=torch.float64))
        tensor([1.8229, 0.2194, 0.0000], dtype=torch.float64)
    """
    mean = expected.clamp(1e-30, _FULL)[..., None]
    counts = torch.arange(4 * int(_FULL), dtype=mean.dtype, device=mean.device)
    probability = (torch.xlogy(counts, mean) - mean - torch.lgamma(counts + 1)).exp()
    found = (probability * torch.digamma(counts + 1)).sum(-1) - mean.squeeze(-1).log()
    return torch.where(expected < _FULL, found, 0.0)
