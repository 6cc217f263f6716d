"""Critics whose scores are inner products: encode-and-dot, bilinear, cosine."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from infomax._checks import check_choice, check_flag, check_number, check_positive
from infomax._precision import place
from infomax.critics.base import Critic
from infomax.critics.normalisation import unit_length
from infomax.critics.projections import Projection
from infomax.critics.scale import LearnedScale
from infomax.pairs.pairing import Pairing
from infomax.scores import StreamedScores

__all__ = ["BilinearCritic", "CosineCritic", "DotCritic"]


class DotCritic(Critic):
    r"""Encode-and-dot: the inner product of a projection of each side.

    .. math:: T(x, y) = s \, \langle \phi(x), \psi(y) \rangle

    This is the critic of the paper's best results.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: channels of the common space. The paper has 2048. The time grows with units (units + 2 c + N), because
            every location passes through a units x units layer: with the paper's encoder on a CPU, the critic takes
            about nine tenths of a training step at 2048 units. More units did not improve the features where this was
            measured (the page "Critics"). With fewer units than c and d, the scores cannot use all features.
        scale: factor s of every score; ``units ** -0.5`` when None, so that scores start near 1 and no estimator
            overflows, whatever the number of units. The paper uses 1. ``"learned"`` trains the factor from that
            default.
        layer_norm: end each projection with a layer norm, as the authors' code does.
        device: device of the parameters.
        dtype: dtype of the parameters.

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
        self,
        local_dim: int,
        global_dim: int,
        *,
        units: int = 512,
        scale: float | Literal["learned"] | None = None,
        layer_norm: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        units = check_positive("units", units)
        layer_norm = check_flag("layer_norm", layer_norm)
        self.local_projection = Projection(local_dim, units, layer_norm=layer_norm)
        self.global_projection = Projection(global_dim, units, layer_norm=layer_norm)
        fixed = units**-0.5 if scale is None else _fixed_scale("scale", scale)
        self.scale = 1.0 if fixed is None else fixed
        self.learned_scale = LearnedScale(units**-0.5) if fixed is None else None
        self.layer_norm = layer_norm
        place(self, device, dtype)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        query = self.global_projection(global_)
        if self.learned_scale is not None:
            query = self.learned_scale(query)
        return StreamedScores(query, self.local_projection(local), pairing, self.scale)

    def extra_repr(self) -> str:
        scale = "'learned'" if self.learned_scale is not None else f"{self.scale:.4g}"
        return f"{super().extra_repr()}, scale={scale}, layer_norm={self.layer_norm}"


class BilinearCritic(Critic):
    r"""A bilinear form of the two sides.

    .. math:: T(x, y) = s \, x^\top W y

    CPC and Deep Graph Infomax use this critic. It is the cheapest trained critic.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        scale: factor s of every score.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Source:
        van den Oord et al. 2018 (CPC), eq. 3; Veličković et al. 2019 (DGI), eq. 5.

    Example:
        >>> import torch
        >>> from infomax import BilinearCritic
        >>> scores = BilinearCritic(32, 64)(torch.randn(4, 32, 10), torch.randn(4, 64))
        >>> scores.count()
        tensor([30., 30., 30., 30.])
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        self.weight = nn.Linear(global_dim, local_dim, bias=False)
        self.scale = check_number("scale", scale)
        place(self, device, dtype)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        query = self.weight(global_)
        return StreamedScores(query, local.to(query.dtype), pairing, self.scale)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale:.4g}"


class CosineCritic(Critic):
    r"""The cosine similarity of two linear projections, divided by a temperature.

    .. math:: T(x, y) = \frac{1}{\tau} \, \frac{\langle A x, B y \rangle}{\|A x\| \, \|B y\|}

    Without a bias, scores lie between -1 / tau and 1 / tau. With tau above 0.012, no estimator then overflows in
    float32.

    Args:
        local_dim: channels c of the local features.
        global_dim: channels d of the global features.
        units: channels of the common space; None compares the features themselves, without projections.
        temperature: tau. ``"learned"`` starts at 0.07, is trained with the projections and stays at 0.01 or above.
        bias: initial value of a trained number that is added to every score, as the logistic loss needs; no number is
            added when None. SigLIP starts at -10.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Raises:
        TypeError: the temperature is neither a number nor ``"learned"``.
        ValueError: the temperature is not positive and finite, or ``units`` is None and the two sides differ in
            channels.

    Numerics:
        Rows shorter than 1e-6 (1e-3 in float16) are divided by that number instead of their length, so that the cosine
        of a row of zeros is 0 and its gradient is finite.

    Source:
        Chen et al. 2020 (SimCLR), eq. 1, for the score; Radford et al. 2021 (CLIP), section 2.5, for the learned
        temperature.

    Example:
        >>> import torch
        >>> from infomax import CosineCritic
        >>> critic = CosineCritic(32, 64, units=16, temperature=0.1)
        >>> bool(critic(torch.randn(4, 32, 10), torch.randn(4, 64)).reduce("logsumexp").joint.abs().max() <= 10.001)
        True
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        *,
        units: int | None = 256,
        temperature: float | Literal["learned"] = 0.1,
        bias: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(local_dim, global_dim)
        if units is not None:
            units = check_positive("units", units)
        elif local_dim != global_dim:
            raise ValueError(
                f"units must be given where local_dim and global_dim differ, got None for {local_dim} and {global_dim}"
            )
        fixed = _fixed_scale("temperature", temperature)
        if fixed is not None:
            check_number("temperature", fixed, above=0)
        self.local_projection = nn.Identity() if units is None else nn.Linear(local_dim, units, bias=False)
        self.global_projection = nn.Identity() if units is None else nn.Linear(global_dim, units, bias=False)
        self.scale = 1.0 if fixed is None else 1.0 / fixed
        self.learned_scale = LearnedScale(1 / 0.07) if fixed is None else None
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(check_number("bias", bias))))
        place(self, device, dtype)

    def score_rows(self, local: Tensor, global_: Tensor, pairing: Pairing) -> StreamedScores:
        query, key = unit_length(self.global_projection(global_)), unit_length(self.local_projection(local))
        if self.learned_scale is not None:
            query = self.learned_scale(query)
        if self.bias is not None:  # appended as one more feature: the bias for the queries, 1 for the keys
            query = torch.cat([query, (self.bias / self.scale).to(query.dtype).expand(len(query), 1)], 1)
            key = nn.functional.pad(key, (0, 1), value=1.0)
        return StreamedScores(query, key, pairing, self.scale)

    def extra_repr(self) -> str:
        temperature = "'learned'" if self.learned_scale is not None else f"{1 / self.scale:.4g}"
        return f"{super().extra_repr()}, temperature={temperature}"


def _fixed_scale(name: str, value: float | str) -> float | None:
    """Return the given number, or None for ``"learned"``."""
    if isinstance(value, str):
        check_choice(name, value, ("learned",))
        return None
    if isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a number or 'learned', got a torch.Tensor: the pairwise ops need a constant factor; use "
            f"{name}='learned' to train one"
        )
    return check_number(name, value)
