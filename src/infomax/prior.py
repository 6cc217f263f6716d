"""Matching a representation to a prior distribution, adversarially."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_choice, check_floating, check_positive, shape_of
from infomax.layout import rows_of
from infomax.scores.reductions import softplus

__all__ = ["PriorDiscriminator", "PriorMatchingLoss", "PriorTerms"]


class PriorDiscriminator(nn.Sequential):
    """The paper's discriminator of prior samples from representations: linear 1000, 200, 1, with ReLU between.

    Args:
        dim: channels of the representation.
        hidden: widths of the hidden layers.

    Example:
        >>> import torch
        >>> from infomax.prior import PriorDiscriminator
        >>> PriorDiscriminator(64)(torch.rand(10, 64)).shape
        torch.Size([10, 1])
    """

    def __init__(self, dim: int, hidden: tuple[int, ...] = (1000, 200)) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(dim, width), nn.ReLU()]
            dim = width
        super().__init__(*layers, nn.Linear(dim, 1))


class PriorTerms(NamedTuple):
    """The two losses of the game, each with gradients for one player only."""

    encoder: Tensor
    discriminator: Tensor


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, device=like.device, dtype=like.dtype, generator=generator)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, device=like.device, dtype=like.dtype, generator=generator)


def _at_least_float32(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


_PRIORS: dict[str, tuple[Callable[[Tensor, torch.Generator | None], Tensor], Callable[[Tensor], Tensor]]] = {
    "uniform": (_uniform, torch.sigmoid),
    "normal": (_normal, lambda y: y),
}


class PriorMatchingLoss(nn.Module):
    r"""Push the distribution of a representation towards a prior.

    .. math::
        \mathcal{L}_D = \mathbb{E}_{v \sim \mathrm{prior}}[\mathrm{sp}(-D(v))] + \mathbb{E}_y[\mathrm{sp}(D(\bar{y}))],
        \qquad \mathcal{L}_E = \mathbb{E}_y[\mathrm{sp}(-\bar{D}(y))]

    where a bar means "no gradient". The sum of both is returned: its backward pass trains the discriminator on y as
    given and the encoder against the discriminator as it stands, so one optimizer may hold both. The encoder never
    sees the gradient of :math:`\mathcal{L}_D`, nor the discriminator that of :math:`\mathcal{L}_E`.

    Args:
        dim: channels d of the representation.
        prior: ``"uniform"`` on [0, 1]^d, with a sigmoid put on y for this term only, or ``"normal"``, standard.
        hidden: widths of the discriminator's hidden layers.

    Shapes:
        y (N, d) or (N, d, \*spatial), every location a sample, to a scalar without unit; about 3 log 2 at the start,
        2 log 2 of it the discriminator's.

    Raises:
        TypeError: y is not real floating.
        ValueError: the prior is unknown, or y has not ``dim`` channels.

    Numerics:
        The logarithms of the sigmoid are exact at any score.

    Source:
        Hjelm et al. 2019, section 3.3, eq. 7, with the encoder's non-saturating form of Goodfellow et al. 2014.

    Example:
        >>> import torch
        >>> from infomax import PriorMatchingLoss
        >>> prior = PriorMatchingLoss(dim=64, prior="uniform")
        >>> y = torch.randn(32, 64, requires_grad=True)
        >>> prior(y).backward()
    """

    def __init__(self, dim: int, prior: str = "uniform", *, hidden: tuple[int, ...] = (1000, 200)) -> None:
        super().__init__()
        check_choice("prior", prior, _PRIORS)
        self.dim = check_positive("dim", dim)
        self.prior = prior
        self.discriminator = PriorDiscriminator(dim, hidden)

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the sum of both players' losses, a scalar."""
        terms = self.terms(y, generator=generator)
        return terms.encoder + terms.discriminator

    def terms(self, y: Tensor, *, generator: torch.Generator | None = None) -> PriorTerms:
        """Return the losses apart, for separate optimizers or weights.

        Args:
            y: the representation, (N, d) or (N, d, \\*spatial).
            generator: where the prior's samples come from; torch's global one when None.
        """
        check_floating("y", y)
        if y.ndim < 2 or y.shape[1] != self.dim or 0 in y.shape:
            raise ValueError(f"y must have shape (N, {self.dim}) or (N, {self.dim}, *spatial), got {shape_of(y)}")
        sample, squash = _PRIORS[self.prior]
        y = squash(rows_of(y).reshape(-1, self.dim))
        real = sample(y.detach(), generator)
        # One pass of D over its two batches; its weights detached for the encoder's.
        on_prior, on_data = _at_least_float32(self.discriminator(torch.cat([real, y.detach()]))).chunk(2)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        judged = _at_least_float32(torch.func.functional_call(self.discriminator, frozen, (y,)))
        return PriorTerms(
            encoder=softplus(-judged).mean(),
            discriminator=softplus(-on_prior).mean() + softplus(on_data).mean(),
        )
