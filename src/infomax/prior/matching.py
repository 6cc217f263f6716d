"""Prior matching: a game between the encoder and a discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from infomax._checks import check_choice, check_flag, check_number, check_positive, check_sizes
from infomax._precision import check_fits_module, place, widened, without_autocast
from infomax._random import drawing_from
from infomax.pairs.rows import rows_of
from infomax.prior.checks import check_representation
from infomax.prior.discriminator import PriorDiscriminator, score_rows, slope_penalty
from infomax.prior.measures import MEASURES, discriminator_loss, encoder_loss
from infomax.scores.reductions import bend

__all__ = ["PRIORS", "PriorMatchingLoss", "PriorTerms"]

_BARE_EXPONENTIAL = ("kl", "rkl", "hellinger")
_CLIP = 20.0


class PriorTerms(NamedTuple):
    """The losses of the encoder and of the discriminator, each with gradients for that player only.

    Example:
        >>> import torch
        >>> from infomax import PriorMatchingLoss
        >>> encoder, discriminator = PriorMatchingLoss(dim=4).terms(torch.rand(16, 4))
        >>> encoder.shape, discriminator.shape
        (torch.Size([]), torch.Size([]))
    """

    encoder: Tensor
    discriminator: Tensor


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(like.shape, device=like.device, dtype=like.dtype, **drawing_from(generator))


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, device=like.device, dtype=like.dtype, **drawing_from(generator))


_PRIORS: dict[str, tuple[Callable[[Tensor, torch.Generator | None], Tensor], Callable[[Tensor], Tensor]]] = {
    "uniform": (_uniform, torch.sigmoid),
    "normal": (_normal, lambda y: y),
}
PRIORS = tuple(_PRIORS)
"""Short names of the priors."""


class PriorMatchingLoss(nn.Module):
    r"""A loss that pushes the distribution of a representation towards a prior.

    .. math::
        \mathcal{L}_D = -\big( \mathbb{E}_{v \sim \mathrm{prior}}[a(D(v))] - \mathbb{E}_y[b(D(\bar{y}))] \big) + R_D,
        \qquad \mathcal{L}_E = -\mathbb{E}_y[a(\bar{D}(y))]

    where a bar means "no gradient". The loss is the sum of both terms. Its backward pass trains the discriminator with
    y held constant, and the encoder with the discriminator held constant, so one optimizer may hold both. The encoder
    never gets the gradient of :math:`\mathcal{L}_D`, nor the discriminator that of :math:`\mathcal{L}_E`.

    ================  ========================  ==============================  ==================================
    measure           gain a(t) on the prior    price b(t) on data              what D's bound estimates
    ================  ========================  ==============================  ==================================
    ``gan``, ``jsd``  :math:`-\mathrm{sp}(-t)`  :math:`\mathrm{sp}(t)`          2 Jensen-Shannon, less 2 log 2
    ``dv``            :math:`t`                 log of the mean of :math:`e^t`  KL(prior, data), tighter
    ``kl``            :math:`t`                 :math:`e^{t-1}`                 KL(prior, data)
    ``rkl``           :math:`-e^{-t}`           :math:`t - 1`                   KL(data, prior)
    ``hellinger``     :math:`1 - e^{-t}`        :math:`e^t - 1`                 squared Hellinger
    ``chi2``          :math:`t`                 :math:`t^2/4 + t`               Pearson chi^2
    ``wasserstein``   :math:`t`                 :math:`t`                       Wasserstein-1, if D is 1-Lipschitz
    ================  ========================  ==============================  ==================================

    Args:
        dim: channels d of the representation.
        prior: ``"uniform"`` on [0, 1]^d, for which this loss applies a sigmoid to y, or ``"normal"``, the standard
            normal.
        hidden: widths of the discriminator's hidden layers.
        measure: the divergence that D estimates; the paper uses ``"gan"``.
        gradient_penalty: weight of :math:`R_D`, which keeps D from becoming so steep that the encoder cannot learn from
            it; 0 for no penalty. For ``wasserstein``, which needs a penalty, :math:`R_D` is
            :math:`\mathbb{E}_u (\|\nabla D(u)\| - 1)^2` at random points u between samples of the prior and of the
            data. For all other measures it is the zero-centred penalty
            :math:`\tfrac12 (\mathbb{E}_v \|\nabla D(v)\|^2 + \mathbb{E}_y \|\nabla D(\bar{y})\|^2)`.
        saturating: whether the encoder minimises the same bound that D maximises, with the loss
            :math:`-\mathbb{E}_y[b(\bar{D}(y))]`. This loss has almost no gradient where D separates the samples well.
        clip: c, which bounds D's scores smoothly as :math:`c \tanh(D / c)`; None leaves the scores unchanged.
            ``"auto"`` is 20 for the measures with a bare exponential (``kl``, ``rkl``, ``hellinger``), and None for the
            others.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shapes:
        y (N, d) or (N, d, \*spatial), where every location is a sample, to a scalar without unit. With ``gan`` the
        scalar is initially about 3 log 2, of which 2 log 2 is the discriminator's loss.

    Raises:
        TypeError: y is not real floating or not of the dtype of the parameters, or ``clip`` is not a number.
        ValueError: the prior or the measure is unknown, y does not have ``dim`` channels, the penalty is negative,
            ``wasserstein`` has no penalty, or ``clip`` is not positive and finite.

    Numerics:
        ``gan`` and ``dv`` are exact and finite at any score; ``chi2`` and ``wasserstein`` are polynomial. ``kl``,
        ``rkl`` and ``hellinger`` hold a bare exponential, which overflows float32 at scores beyond about 88. By default
        their scores are therefore bounded to [-20, 20]; a score far beyond that bound has almost no gradient, so use a
        gradient penalty with these measures as well. `torch.compile` compiles the loss to one graph, with a penalty
        too. The loss and its penalty are also computed under `torch.inference_mode`, which Lightning uses in
        validation.

    Source:
        Hjelm et al. 2019, section 3.3, eq. 7, with the encoder's non-saturating form of Goodfellow et al. 2014. Other
        measures: Nowozin et al. 2016, tables 2 and 6; Donsker & Varadhan 1983; Arjovsky et al. 2017. Penalties:
        Mescheder et al. 2018, eq. 9 and 10, at both distributions as in the authors' code, whose weight is 1;
        Gulrajani et al. 2017, eq. 3, whose weight is 10.

    Example:
        >>> import torch
        >>> from infomax import PriorMatchingLoss
        >>> prior = PriorMatchingLoss(dim=64, prior="uniform", measure="hellinger", gradient_penalty=1.0)
        >>> y = torch.randn(32, 64, requires_grad=True)
        >>> prior(y).backward()
    """

    def __init__(
        self,
        dim: int,
        prior: str = "uniform",
        *,
        hidden: tuple[int, ...] = (1000, 200),
        measure: str = "gan",
        gradient_penalty: float = 0.0,
        saturating: bool = False,
        clip: float | Literal["auto"] | None = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("prior", prior, _PRIORS)
        check_choice("measure", measure, MEASURES)
        gradient_penalty = check_number("gradient_penalty", gradient_penalty, at_least=0)
        if measure == "wasserstein" and not gradient_penalty:
            raise ValueError(
                "gradient_penalty must be positive for measure 'wasserstein', which is unbounded without one, got "
                f"{gradient_penalty}; 10 is the usual weight"
            )
        self.dim = check_positive("dim", dim)
        self.prior = prior
        self.measure = measure
        self.gradient_penalty = gradient_penalty
        self.saturating = check_flag("saturating", saturating)
        self.clip = _clip_of(clip, measure)
        self.discriminator = PriorDiscriminator(self.dim, check_sizes("hidden", hidden, at_least=0))
        place(self, device, dtype)

    def forward(self, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the sum of both players' losses, a scalar."""
        terms = self.terms(y, generator=generator)
        return terms.encoder + terms.discriminator

    def terms(self, y: Tensor, *, generator: torch.Generator | None = None) -> PriorTerms:
        """Return the two losses, for separate optimizers or weights; the discriminator's loss includes its penalty.

        Args:
            y: the representation, (N, d) or (N, d, \\*spatial).
            generator: the generator of the prior's samples; torch's global one when None.
        """
        check_representation(y, self.dim, generator)
        sample, squash = _PRIORS[self.prior]
        check_fits_module(self, y=y)
        y = squash(rearrange(rows_of(y), "n q d -> (n q) d"))
        real, data = sample(y.detach(), generator), y.detach()
        # D runs once over its two batches and the encoder's batch, for which its weights are constants.
        with without_autocast(y.device):  # autocast to bfloat16 refuses to concatenate float16 rows
            rows = torch.cat([real, data, y])
        on_prior, on_data, on_encoder = self._bent(score_rows(self.discriminator, rows, len(y))).view(3, -1)
        discriminator = discriminator_loss(on_prior, on_data, self.measure)
        if self.gradient_penalty:
            discriminator = discriminator + self.gradient_penalty * self._steepness(real, data, generator)
        return PriorTerms(encoder_loss(on_encoder, self.measure, saturating=self.saturating), discriminator)

    def _bent(self, scores: Tensor) -> Tensor:
        scores = widened(scores)
        return scores if self.clip is None else bend(scores, self.clip)

    def _steepness(self, real: Tensor, data: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.measure != "wasserstein":
            with without_autocast(real.device):
                both = torch.cat([real, data])
            return slope_penalty(self.discriminator, both, 0.0)
        share = torch.rand(len(real), 1, device=real.device, dtype=real.dtype, **drawing_from(generator))
        return slope_penalty(self.discriminator, real + share * (data - real), 1.0)

    def extra_repr(self) -> str:
        return (
            f"prior={self.prior!r}, measure={self.measure!r}, gradient_penalty={self.gradient_penalty}, "
            f"saturating={self.saturating}, clip={self.clip}"
        )


def _clip_of(clip: float | str | None, measure: str) -> float | None:
    """Return the bound of D's scores, or None if there is none."""
    if isinstance(clip, str):
        check_choice("clip", clip, ("auto",))
        return _CLIP if measure in _BARE_EXPONENTIAL else None
    return None if clip is None else check_number("clip", clip, above=0)
