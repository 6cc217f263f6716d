"""The objectives of a step: Deep InfoMax without labels, or cross-entropy with labels, for the same encoder."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from infomax import (
    CoordinateLoss,
    CosineCritic,
    DIMLoss,
    InfoMaxLoss,
    InfoNCE,
    LocalDIMLoss,
    PriorMatchingLoss,
    encoders,
)
from infomax.encoders import StagedEncoder
from infomax.estimators import EstimatorLike
from infomax.features import Features
from infomax.prior import NoisePrior
from infomax.variants import activation_penalty

from .errors import BadInput
from .options import Options

BY_SIZE = {28: "conv28", 32: "conv32", 64: "conv64"}
STAGES = ("local", "conv", "fc", "y")


class Batch(NamedTuple):
    """The input of a step: images (n, C, H, W), a second view or None, labels (n,), and indices into the data (n,)."""

    images: Tensor
    other: Tensor | None
    labels: Tensor
    index: Tensor


class Step(NamedTuple):
    """The result of a step: loss, parts of it to report, and the features from which the MI is estimated, or None."""

    loss: Tensor
    parts: dict[str, Tensor]
    features: Features | None


def encoder_name(options: Options, side: int) -> str:
    """Return the name of the encoder: that of ``--encoder``, or for ``auto`` the paper's for ``side`` pixels."""
    if options.encoder != "auto":
        return options.encoder
    if side not in BY_SIZE:
        raise BadInput(
            f"--encoder auto: expected images of {', '.join(map(str, BY_SIZE))} pixels; these have {side}: "
            "resize them with --size, or take crops of them with --crop"
        )
    return BY_SIZE[side]


def build_encoder(options: Options, channels: int, side: int) -> StagedEncoder:
    """Build the encoder of a run, untrained. Add your own encoder here."""
    name = encoder_name(options, side)
    try:
        encoder = encoders.build(name, input_channels=channels, global_dim=options.dim, globals_=options.globals)
    except ValueError as error:
        raise BadInput(f"--encoder/--globals: {error}") from error
    if encoder.input_size != (side, side):
        wanted = encoder.input_size[0]
        raise BadInput(f"--encoder {name}: expected images of {wanted} pixels; these have {side}: pass --size {wanted}")
    if options.objective == "cpc":  # trains no layer above the crops, so `y` is their mean, as in its paper
        encoder.fc, encoder.y = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Identity()
        encoder.global_dim = encoder.local_dim
    return encoder


def read(encoder: StagedEncoder, images: Tensor, last: str = "y") -> dict[str, Tensor]:
    """Return the outputs of the stages of an encoder by name, up to the stage ``last``."""
    found = {}
    for stage in STAGES[: STAGES.index(last) + 1]:
        images = found[stage] = getattr(encoder, stage)(images)
    return found


class DeepInfoMax(nn.Module):
    """The encoder with the DIM objective on its local map and its global features, and the requested further terms."""

    columns = (
        "local", "local_conv", "global", "prior", "between_views", "coordinates", "relative_coordinates", "activation",
        "mi", "mi_ceiling",
    )  # fmt: skip

    def __init__(self, encoder: StagedEncoder, options: Options, *, gather: bool = False) -> None:
        super().__init__()
        if gather and options.negatives:
            raise BadInput(f"--negatives: expected 0, all of them, with several processes; got {options.negatives}")
        self.encoder = encoder
        self.gather = gather
        self.objective = DIMLoss(
            local_dim=encoder.local_dim,
            local_size=encoder.local_size,
            global_dim=encoder.global_dim,
            alpha=options.alpha,
            beta=options.beta,
            gamma=options.gamma,
            estimator=_estimator(options),
            critic=options.critic,
            units=None if options.critic == "bilinear" else options.units,
            prior=_prior(options, encoder.global_dim) if options.gamma else options.prior,
            sample_locations=options.locations or None,
            sample_negatives=options.negatives or None,
            gather=gather,
        )
        self.noise = nn.Identity()
        if options.prior_noise:
            self.noise = NoisePrior(encoder.global_dim, options.prior, noise=options.prior_noise, gather=gather)
        self.tasks = nn.ModuleDict()
        self.weights = {"coordinates": options.coordinates, "relative_coordinates": options.relative_coordinates}
        for name, weight in self.weights.items():
            if weight:
                self.tasks[name] = CoordinateLoss(
                    encoder.local_dim, encoder.local_size, encoder.global_dim, relative=name == "relative_coordinates"
                )
        self.weights["activation"] = options.activation_penalty
        self.weights["local_conv"] = options.beta_conv
        self.weights["between_views"] = options.between_views
        self.symmetric, self.between_layer = options.symmetric, options.between_layer
        self.conv_global = options.conv_global
        self.coarse = _coarse(encoder, options, gather) if options.beta_conv else None
        self.between = _between(encoder, options, gather) if options.between_views else None
        terms = [self.objective.local_term, self.objective.global_term]
        self.measured = next(term for term in terms if term is not None)
        if options.scale and options.critic in ("dot", "bilinear"):
            for term in (*terms, self.coarse):
                if term is not None:
                    term.critic.scale = options.scale
        images = options.negatives or options.batch - 1
        each = math.prod(encoder.local_size)
        each = min(options.locations or each, each) if options.beta else 1
        self.ceiling = self.measured.estimator.ceiling(images * each)

    def forward(self, batch: Batch) -> Step:
        """Compute the loss of locals of the images with globals of the second view, or of the images if there is none.

        With ``symmetric``, it is averaged with the reverse: locals of the second view with globals of the images.
        """
        if batch.other is None:
            one = two = read(self.encoder, batch.images)
        else:
            whole = self.symmetric or self.between is not None
            one = read(self.encoder, batch.images, "y" if whole else "conv" if self.coarse is not None else "local")
            two = read(self.encoder, batch.other)
        pairs = [(one, two), (two, one)] if self.symmetric else [(one, two)]
        globals_ = [self.noise(there["y"]) for _, there in pairs]
        outs = [self.objective(here["local"], y) for (here, _), y in zip(pairs, globals_, strict=True)]
        sides = {name: task(one["local"], two["y"]) for name, task in self.tasks.items()}
        if self.coarse is not None:
            coarse = [self.coarse(here["conv"], there[self.conv_global]) for here, there in pairs]
            sides["local_conv"] = torch.stack(coarse).mean()
        if self.between is not None:
            sides["between_views"] = self.between(one[self.between_layer], two[self.between_layer])
        if self.weights["activation"]:
            sides["activation"] = activation_penalty(two["y"])
        loss = _mean([out.loss for out in outs])
        loss = torch.stack([loss, *(self.weights[name] * side for name, side in sides.items())]).sum()
        parts = {
            "local": _mean([out.local for out in outs]),
            "global": _mean([out.global_ for out in outs]),
            "prior": _mean([out.prior for out in outs]),
            **sides,
        }
        parts = {name: part.detach() for name, part in parts.items() if part is not None}
        return Step(loss, parts, Features(one["local"].detach(), globals_[0].detach()))

    def information(self, features: Features) -> dict[str, float]:
        """Return the MI in nats between locals (whole maps, if there is no local term) and globals of one batch."""
        nats = {"mi": self.measured.mutual_information(*features, gather=self.gather).item()}
        return nats | {"mi_ceiling": self.ceiling} if math.isfinite(self.ceiling) else nats


def _mean(values: Sequence[Tensor | None]) -> Tensor | None:
    """Return the mean of a term over both directions, or None if the term is absent."""
    return None if values[0] is None else torch.stack([value for value in values if value is not None]).mean()


def _widths(encoder: StagedEncoder) -> dict[str, int]:
    """Return the number of output channels of each stage."""
    training = encoder.training
    with torch.no_grad():
        found = read(encoder.eval(), torch.zeros(1, encoder.input_channels, *encoder.input_size))
    encoder.train(training)
    return {name: features.shape[1] for name, features in found.items()}


def _coarse(encoder: StagedEncoder, options: Options, gather: bool) -> LocalDIMLoss:
    """Build a second local objective, on the map of the last convolution."""
    widths = _widths(encoder)
    return LocalDIMLoss(
        widths["conv"],
        widths[options.conv_global],
        estimator=_estimator(options),
        critic=options.critic,
        units=None if options.critic == "bilinear" else options.units,
        sample_locations=options.locations or None,
        sample_negatives=options.negatives or None,
        gather=gather,
    )


def _between(encoder: StagedEncoder, options: Options, gather: bool) -> InfoMaxLoss:
    """Build the loss between the same layer of two views, with a cosine critic on projections."""
    width = _widths(encoder)[options.between_layer]
    critic = CosineCritic(width, width, units=options.units, temperature=options.between_temperature)
    return InfoMaxLoss(width, width, critic=critic, sample_negatives=options.negatives or None, gather=gather)


def _estimator(options: Options) -> EstimatorLike:
    return partial(InfoNCE, anchor=options.anchor) if options.anchor else options.estimator


def _prior(options: Options, dim: int) -> PriorMatchingLoss:
    return PriorMatchingLoss(dim, options.prior, measure=options.prior_measure, gradient_penalty=options.prior_penalty)


class Supervised(nn.Module):
    """The same encoder with a linear classifier on `y`, trained with labels, for comparison."""

    columns = ("accuracy",)

    def __init__(self, encoder: StagedEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.global_dim, classes)

    def forward(self, batch: Batch) -> Step:
        """Return the cross-entropy of the classes predicted from `y`."""
        logits = self.logits(self.encoder(batch.images).global_)
        accuracy = (logits.detach().argmax(1) == batch.labels).float().mean()
        return Step(cross_entropy(logits, batch.labels), {"accuracy": accuracy}, None)

    def logits(self, y: Tensor) -> Tensor:
        """Return the class logits (n, classes) from `y`, or from the mean over several global features."""
        return self.head(torch.relu(y).flatten(2).mean(2) if y.ndim > 2 else torch.relu(y))
