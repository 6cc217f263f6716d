"""Student-t tasks: heavy tails, and information in the radius even without correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_positive
from infomax.mi.tasks.task import Task

__all__ = ["student_t"]


def student_t(dim_x: int, dim_y: int, dof: int) -> Task:
    r"""Return the task of a multivariate Student-t with identity dispersion, whose sides share the scale of the tails.

    .. math:: I = f(\nu) + f(\nu + d_x + d_y) - f(\nu + d_x) - f(\nu + d_y), \qquad
              f(t) = \log \Gamma(t / 2) - \tfrac{t}{2} \psi(t / 2)

    Args:
        dim_x: number of coordinates of x.
        dim_y: number of coordinates of y.
        dof: degrees of freedom, an integer; with 1 not even the mean exists.

    Source:
        Arellano-Valle, Contreras-Reyes & Genton 2013, for the entropy.

    Example:
        >>> student_t(1, 1, dof=1)
        Task('student-identity-1-1-1', 1 x 1, 0.2242 nats)
    """
    check_positive("dof", dof)
    dim = check_positive("dim_x", dim_x) + check_positive("dim_y", dim_y)

    def term(t: int) -> float:
        half = torch.tensor(t / 2, dtype=torch.float64)
        return float(torch.lgamma(half) - half * torch.digamma(half))

    def draw(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        normal = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
        square = torch.randn(rows, dof, generator=generator, dtype=torch.float64).square().sum(1, keepdim=True)
        drawn = normal / (square / dof).sqrt()
        return drawn[:, :dim_x], drawn[:, dim_x:]

    nats = term(dof) + term(dof + dim) - term(dof + dim_x) - term(dof + dim_y)
    return Task(f"student-identity-{dim_x}-{dim_y}-{dof}", (dim_x, dim_y), nats, draw)
