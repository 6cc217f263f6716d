"""A prior without a discriminator: with added noise, a representation distributed as the prior is most informative."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
import torch.distributed as dist
from einops import rearrange
from torch import Tensor, nn

from infomax._checks import check_choice, check_flag, check_number, check_positive, check_same_device
from infomax._precision import accumulation_dtype, place
from infomax._random import drawing_from
from infomax.critics.normalisation import BatchNorm
from infomax.pairs.processes import Processes
from infomax.pairs.rows import rows_of
from infomax.prior.checks import check_representation

__all__ = ["NoisePrior"]

_NOISE = {"normal": 0.5, "uniform": 0.05}


class NoisePrior(nn.Module):
    r"""A layer that normalises a representation and adds noise, so that an InfoMax loss shapes its distribution.

    .. math::
        \tilde y = \frac{y - \mathbb{E}\, y}{\sqrt{\mathrm{Var}\, y + 10^{-5}}} + \sigma \varepsilon, \quad
        \varepsilon \sim \mathcal{N}(0, I)
        \qquad \text{or} \qquad
        \tilde y = \mathrm{sigmoid}(y) + \varepsilon, \quad \varepsilon \sim \mathcal{U}[-\sigma, \sigma]^d

    The noisy representation carries at most :meth:`ceiling` nats. Among all representations of unit variance, a
    standard normal one carries the most information through the noise. Among all representations in the unit cube, a
    uniform one carries the most, in the limit of little noise. So maximising the information about the noisy global
    also shapes its distribution, without a discriminator. More noise shapes the distribution more strongly, but lets
    less information through. Put this module between the encoder and the loss. In evaluation mode it adds no noise.

    Args:
        dim: channels d of the representation.
        prior: ``"normal"``, the standard normal, or ``"uniform"`` on [0, 1]^d.
        noise: :math:`\sigma`, the standard deviation of normal noise or the half width of uniform noise; None means
            0.5 or 0.05, respectively. Uniform noise must be small: with much noise, separate clusters carry more
            information than a uniform distribution.
        gather: whether to compute mean and variance over the rows of all processes, for the normal prior. A process may
            then have no rows.
        process_group: the group of these processes; the default group when None.
        device: device of the running statistics.
        dtype: dtype of the running statistics.

    Shapes:
        y (N, d) or (N, d, \*spatial), where every location is a sample, to the same shape and dtype.

    Raises:
        TypeError: an option or y has the wrong type; or, for the normal prior, y has neither the dtype of the running
            statistics nor, where they are float32, half precision.
        ValueError: an option is out of range, y has another shape or device, or, for the normal prior in training mode,
            y holds a single sample.

    Numerics:
        Noise is drawn in float32 at least. A constant unit becomes 0, and a unit whose standard deviation is far below
        0.01 stays below unit variance. A half precision y is normalised with float32 statistics.

    Source:
        Butakov et al. 2025 (Efficient Distribution Matching of Representations via Noise-Injected Deep InfoMax). The
        paper bounds a representation for the uniform prior; the sigmoid is that of :class:`~infomax.PriorMatchingLoss`.

    Example:
        >>> import torch
        >>> from infomax import LocalDIMLoss
        >>> from infomax.prior import NoisePrior
        >>> noisy, loss_fn = NoisePrior(64, noise=0.5), LocalDIMLoss(local_dim=32, global_dim=64, units=64)
        >>> local, y = torch.randn(16, 32, 4, 4), torch.randn(16, 64, requires_grad=True)
        >>> loss_fn(local, noisy(y)).backward()
        >>> f"{noisy.ceiling():.1f} nats at most"
        '51.5 nats at most'
    """

    def __init__(
        self,
        dim: int,
        prior: str = "normal",
        *,
        noise: float | None = None,
        gather: bool = False,
        process_group: dist.ProcessGroup | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("prior", prior, _NOISE)
        self.dim = check_positive("dim", dim)
        self.prior = prior
        self.noise = _NOISE[prior] if noise is None else check_number("noise", noise, above=0)
        self.processes = Processes(process_group, gathers=True) if check_flag("gather", gather) else None
        self.norm: BatchNorm | None = None
        if prior == "normal":
            self.norm = BatchNorm(dim, affine=False)
            self.norm.processes = self.processes
        place(self, device, dtype)

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the normalised representation, with noise in training mode.

        Args:
            y: the representation, (N, d) or (N, d, \\*spatial).
            generator: the generator of the noise; torch's global one when None.
        """
        check_representation(y, self.dim, generator, may_be_empty=self._together)
        shaped = y.sigmoid() if self.norm is None else self._normalised(y, self.norm)
        if not self.training:
            return shaped
        dtype = accumulation_dtype(y.dtype)
        if self.prior == "normal":
            noise = torch.randn(y.shape, device=y.device, dtype=dtype, **drawing_from(generator))
        else:
            noise = 2.0 * torch.rand(y.shape, device=y.device, dtype=dtype, **drawing_from(generator)) - 1.0
        return shaped + (self.noise * noise).to(shaped.dtype)

    def ceiling(self) -> float:
        r"""Return the largest information, in nats, that the noisy representation can carry.

        .. math::
            I(X; \tilde y) \le \tfrac{d}{2} \log\Big(1 + \frac{1}{\sigma^2}\Big)
            \qquad \text{or} \qquad d \log\Big(1 + \frac{1}{2 \sigma}\Big)
        """
        if self.prior == "normal":
            return 0.5 * self.dim * math.log1p(self.noise**-2)
        return self.dim * math.log1p(0.5 / self.noise)

    @property
    def _together(self) -> bool:
        """Whether statistics are taken over several processes."""
        return self.processes is not None and self.processes.several

    def _normalised(self, y: Tensor, norm: BatchNorm) -> Tensor:
        statistics = norm.running_mean
        check_same_device(y=y, statistics=statistics)
        halved = y.dtype in (torch.bfloat16, torch.float16)
        if statistics is not None and statistics.dtype not in ((y.dtype, torch.float32) if halved else (y.dtype,)):
            raise TypeError(
                f"y must have the dtype of the running statistics, {statistics.dtype}, got {y.dtype}; convert y, or "
                f"this module with .to({y.dtype})"
            )
        by_location = rows_of(y)
        rows = rearrange(by_location, "n p d -> (n p) d")
        message = "y must hold at least 2 samples in training mode, to compute a variance, got 1"
        alone = self.training and not self._together
        if alone and not torch.compiler.is_compiling() and len(rows) == 1:  # a compiled batch norm checks it itself
            raise ValueError(message)
        processes = norm.processes
        with nullcontext() if processes is None else processes.call():
            rows = norm(rows)
            if processes is not None and processes.single_row:
                raise ValueError(f"{message} over all processes")
        normalised: Tensor = rearrange(rows, "(n p) d -> n d p", p=by_location.shape[1])
        return normalised.reshape(y.shape)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, prior={self.prior!r}, noise={self.noise}"
