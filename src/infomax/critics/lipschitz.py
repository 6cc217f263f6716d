"""A critic that is 1-Lipschitz by construction, for the Wasserstein dependency measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._checks import check_floating, check_integer, check_number, check_positive, shape_of
from infomax._precision import check_rows, place, widened, without_autocast
from infomax.critics.base import Critic
from infomax.pairs.pairing import Pairing
from infomax.scores import StreamedScores

__all__ = ["LipschitzCritic", "LipschitzLinear", "spectral_norm_bound"]


_MOST = 64  # Gram iterations: the error of the bound's logarithm, log(min(m, n)) / 2^66, is then below any rounding


def spectral_norm_bound(weight: Tensor, *, iterations: int = 5) -> Tensor:
    r"""Return an upper bound on the largest singular value of a matrix, by Gram iteration.

    .. math:: \sigma \le \big\| (W^\top W)^{2^t} \big\|_F^{1 / 2^{t + 1}}

    Power iteration approaches the singular value from below. This bound is never too small, needs no state between
    calls and has an exact gradient.

    Args:
        weight: (m, n).
        iterations: t. The bound is too large by a factor of at most min(m, n)^(1 / 2^(t + 2)), which is 1.04 for 256
            units and 5 iterations.

    Returns:
        Scalar, float32 (float64 for a float64 weight).

    Raises:
        TypeError: weight is not a floating tensor, or iterations is not an integer.
        ValueError: weight is not a matrix or is empty, or iterations is below 0 or above 64.

    Numerics:
        Every squared matrix is divided by its norm, and the logarithm of the norm is kept, so nothing overflows.

    Source:
        Delattre et al. 2023, "Efficient bound of Lipschitz constant for convolutional layers by Gram iteration", for
        dense layers.

    Example:
        >>> import torch
        >>> from infomax.critics import spectral_norm_bound
        >>> spectral_norm_bound(torch.diag(torch.tensor([3.0, 1.0])))
        tensor(3.)
    """
    if check_floating("weight", weight).ndim != 2 or not weight.numel():
        raise ValueError(f"weight must have shape (m, n) with m and n at least 1, got {shape_of(weight)}")
    iterations = check_integer("iterations", iterations, at_least=0)
    if iterations > _MOST:
        raise ValueError(f"iterations must be at most {_MOST}, got {iterations}; 10 bring the bound within 0.2 %")
    with without_autocast(weight.device):
        wide = widened(weight)
        # Divide by a constant and multiply it back at the end: this changes neither the bound nor its gradient.
        factor = wide.detach().abs().max().clamp_min(torch.finfo(wide.dtype).tiny)
        wide = wide / factor
        gram = wide.mT @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.mT
        log_norm = torch.zeros_like(factor)
        for squares in range(iterations + 1):
            if squares:
                gram = gram @ gram
            norm: Tensor = gram.norm().clamp_min(torch.finfo(gram.dtype).tiny)
            log_norm = 2 * log_norm + norm.log()
            gram = gram / norm
        bound: Tensor = factor * (log_norm * 2.0 ** -(iterations + 1)).exp()
        return bound


class LipschitzLinear(nn.Module):
    """A 1-Lipschitz linear layer: its weight is divided by an upper bound on its spectral norm.

    Args:
        in_features: channels of an input row.
        out_features: channels of an output row.

    Raises:
        TypeError: a size is not an integer, or the rows are not of the dtype of the parameters.
        ValueError: a size is below 1, or the rows do not have ``in_features`` channels.

    Example:
        >>> import torch
        >>> from infomax.critics import LipschitzLinear
        >>> LipschitzLinear(8, 4)(torch.randn(10, 8)).shape
        torch.Size([10, 4])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        in_features = check_positive("in_features", in_features)
        out_features = check_positive("out_features", out_features)
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(out_features, in_features)))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, rows: Tensor) -> Tensor:
        check_rows(self, rows, self.weight.shape[1])
        norm = spectral_norm_bound(self.weight).clamp_min(1e-12)  # a weight of zeros stays zero
        return nn.functional.linear(rows, self.weight / norm.to(self.weight), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}"


class LipschitzCritic(Critic):
    r"""Encode-and-dot whose score is 1-Lipschitz in the features of each side.

    .. math:: T(x, y) = \frac{1}{r} \, \langle \phi(x), \psi(y) \rangle, \qquad
              |T(x, y) - T(x', y')| \le \|x - x'\| + \|y - y'\|

    Both projections are 1-Lipschitz networks, and their outputs are projected onto a ball of radius r. This makes the
    score 1-Lipschitz in either side. Scores lie in [-r, r], even if an encoder increases the scale of its features.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: width of both layers of each projection.
        radius: r; choose it of the order of the distances between features.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Raises:
        TypeError: radius is not a number.
        ValueError: radius is not positive.

    Shapes:
        local (N, c, \*spatial), global (N, d) or (N, d, \*spatial), to streamed scores, in the unit of a distance
        between features.

    Numerics:
        The Lipschitz bound holds up to rounding in the dtype in which the layers compute.

    Source:
        The constraint is that of Ozair et al. 2019, section 4, who enforce it approximately by a gradient penalty. The
        network is specific to this library.

    Example:
        >>> import torch
        >>> from infomax import LipschitzCritic, functional as F
        >>> scores = LipschitzCritic(32, 8, units=64, radius=2.0)(torch.randn(4, 32, 5), torch.randn(4, 8))
        >>> bool(scores.joint().abs().max() <= 2.0)
        True
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        units: int = 256,
        radius: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        units = check_positive("units", units)
        self.radius = check_number("radius", radius, above=0)
        self.local_projection = _projection(local_dim, units)
        self.global_projection = _projection(global_dim, units)
        place(self, device, dtype)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        query, key = self.global_projection(global_), self.local_projection(local)
        return StreamedScores(self._into_ball(query), self._into_ball(key), pairing, 1 / self.radius)

    def _into_ball(self, rows: Tensor) -> Tensor:
        """Return the nearest rows of norm at most the radius; a projection onto a convex set is 1-Lipschitz."""
        norm: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        return rows / (norm / self.radius).clamp_min(1.0)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, radius={self.radius}"


def _projection(in_features: int, units: int) -> nn.Sequential:
    return nn.Sequential(LipschitzLinear(in_features, units), nn.ReLU(), LipschitzLinear(units, units))
