"""Critics whose scores are inner products: encode-and-dot, bilinear, cosine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._checks import check_number, check_positive
from infomax.critics.base import Critic
from infomax.critics.projections import Projection
from infomax.layout import Pairing
from infomax.scores import StreamedScores

__all__ = ["BilinearCritic", "CosineCritic", "DotCritic"]


class DotCritic(Critic):
    r"""Encode-and-dot: project each side, score by the inner product.

    .. math:: T(x, y) = s \, \langle \phi(x), \psi(y) \rangle

    The critic of the paper's best results.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: channels of the common space; the paper's 2048, less is cheaper.
        scale: factor s of every score; ``units ** -0.5`` when None, so that scores start near 1 and no estimator
            overflows, whatever the units. The paper's is 1.
        layer_norm: end each projection with a layer norm, as the authors' code does.

    Shapes:
        local (N, c, \*spatial), global (N, d) or (N, d, \*spatial), to streamed scores.

    Source:
        Hjelm et al. 2019, section 3.2 and appendix A.3.2.

    Example:
        >>> import torch
        >>> from infomax import DotCritic
        >>> scores = DotCritic(128, 64, units=256)(torch.randn(4, 128, 8, 8), torch.randn(4, 64))
        >>> scores.reduce("softplus").marginal.shape
        torch.Size([4])
    """

    def __init__(
        self, local_dim: int, global_dim: int, *, units: int = 2048, scale: float | None = None, layer_norm: bool = True
    ) -> None:
        super().__init__(local_dim, global_dim)
        check_positive("units", units)
        self.local_projection = Projection(local_dim, units, layer_norm=layer_norm)
        self.global_projection = Projection(global_dim, units, layer_norm=layer_norm)
        self.scale = units**-0.5 if scale is None else check_number("scale", scale)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        return StreamedScores(self.global_projection(global_), self.local_projection(local), pairing, self.scale)


class BilinearCritic(Critic):
    r"""A matrix between the two sides.

    .. math:: T(x, y) = s \, x^\top W y

    As in CPC and Deep Graph Infomax: the cheapest trained critic.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        scale: factor s of every score.

    Source:
        van den Oord et al. 2018 (CPC), eq. 3; Veličković et al. 2019 (DGI), eq. 5.

    Example:
        >>> import torch
        >>> from infomax import BilinearCritic
        >>> scores = BilinearCritic(32, 64)(torch.randn(4, 32, 10), torch.randn(4, 64))
        >>> scores.count()
        tensor([30., 30., 30., 30.])
    """

    def __init__(self, local_dim: int, global_dim: int, *, scale: float = 1.0) -> None:
        super().__init__(local_dim, global_dim)
        self.weight = nn.Linear(global_dim, local_dim, bias=False)
        self.scale = check_number("scale", scale)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        query = self.weight(global_)
        return StreamedScores(query, local.to(query.dtype), pairing, self.scale)


class CosineCritic(Critic):
    r"""The cosine of two linear projections over a temperature.

    .. math:: T(x, y) = \frac{1}{\tau} \, \frac{\langle A x, B y \rangle}{\|A x\| \, \|B y\|}

    Scores lie within 1 / tau of 0, so that no estimator overflows.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: channels of the common space.
        temperature: tau.

    Raises:
        ValueError: the temperature is not positive.

    Source:
        Chen et al. 2020 (SimCLR), eq. 1, for the score.

    Example:
        >>> import torch
        >>> from infomax import CosineCritic
        >>> critic = CosineCritic(32, 64, units=16, temperature=0.1)
        >>> bool(critic(torch.randn(4, 32, 10), torch.randn(4, 64)).reduce("logsumexp").joint.abs().max() <= 10.001)
        True
    """

    def __init__(self, local_dim: int, global_dim: int, *, units: int = 256, temperature: float = 0.1) -> None:
        super().__init__(local_dim, global_dim)
        check_positive("units", units)
        if not check_number("temperature", temperature) > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.local_projection = nn.Linear(local_dim, units, bias=False)
        self.global_projection = nn.Linear(global_dim, units, bias=False)
        self.scale = 1.0 / temperature

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        return StreamedScores(
            _normalised(self.global_projection(global_)), _normalised(self.local_projection(local)), pairing, self.scale
        )


def _normalised(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float() if rows.dtype.itemsize < 4 else rows, dim=-1).to(rows.dtype)
