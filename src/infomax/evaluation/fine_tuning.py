"""Semi-supervised: a copy of the encoder goes on learning, with the few labels there are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_flag
from infomax._modes import evaluating
from infomax._precision import check_device
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_batch
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import accuracy, fit, seeded
from infomax.evaluation.probes.mlp import MLPProbe
from infomax.features.tapping import taps

__all__ = ["FineTuned", "fine_tune"]


class FineTuned(NamedTuple):
    """What a few labels are worth to a pre-trained encoder.

    Args:
        accuracy: share of test examples classified correctly by the fine-tuned copy, between 0 and 1.
        from_scratch: the same of the same network from random weights; None where it was not asked for.
        classifier: the fine-tuned copy with its head, from images as the encoder takes them (so after
            ``transform``) to logits.

    Example:
        >>> import torch
        >>> from infomax.evaluation import fine_tune
        >>> encoder = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 4, 2, 1), torch.nn.ReLU())
        >>> data = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
        >>> found = fine_tune(encoder, data, data, layer="1", epochs=1, batch_size=4, random_state=0)
        >>> found.classifier(data[0]).shape, found.from_scratch is None
        (torch.Size([8, 2]), True)
    """

    accuracy: float
    from_scratch: float | None
    classifier: nn.Module


def fine_tune(
    encoder: nn.Module,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    layer: str = "conv",
    from_scratch: bool = False,
    epochs: int | None = None,
    lr: float = 1e-3,
    batch_size: int = 64,
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    transform: Callable[[Tensor], Tensor] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    random_state: RandomState = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> FineTuned:
    """Fine-tune a copy of an encoder, with a small head on one of its layers, on labelled images, and test it.

    What is asked here is not what the frozen features hold, but how good a start they are where labels are few:
    compare with ``from_scratch=True``, the same network from random weights, trained and tested in the same way.
    The encoder that is given stays as it is, frozen or not.

    Args:
        encoder: any `nn.Module`; a copy of it is trained, all of it up to ``layer``.
        train: labelled images (N, ...) and their labels (N,).
        test: images and labels to test on; they are read once, after all training.
        layer: the layer that the head sits on, as `infomax.features.tap` takes it. The head is the 200-unit
            `MLPProbe`.
        from_scratch: also train the same network from random weights, each submodule started anew by its
            ``reset_parameters``.
        epochs: passes over the labelled images; when None 15, or as many as make 500 steps where they are few.
        lr: learning rate of Adam at the start.
        batch_size: images per step.
        weight_decay: of Adam.
        schedule: ``"cosine"``, ``"step"`` or ``"constant"``; see `infomax.evaluation.fit`.
        transform: what to do with each batch of images first, as in `extract_features`.
        augment: what to do with each batch that is trained on, after ``transform``.
        random_state: an integer or a generator that decides weights, dropout and order.
        device: where copy and images go; the encoder's own device when None.
        progress: called after each pass with ``"fit"``, or ``"fit from scratch"``, passes done and passes in all.

    Returns:
        `FineTuned`: the accuracy on the test images, that from scratch if asked for, and the classifier.

    Raises:
        TypeError: dtypes that do not fit, uint8 images without a ``transform``, train or test that are no pair of
            tensors.
        ValueError: shapes that do not fit, a single class, a layer that the encoder does not have, an option out of
            range, logits that are not finite; ``from_scratch`` and a submodule whose weights its ``reset_parameters``
            does not make anew, or that has none.

    Numerics:
        Autocast around the call has no effect.

    Source:
        Hjelm et al., ICLR 2019, semi-supervised learning on STL-10: a small network on the last convolution.

    Example:
        >>> from infomax import encoders
        >>> encoder = encoders.conv28()
        >>> images, labels = torch.rand(32, 1, 28, 28), torch.arange(32) % 2
        >>> found = fine_tune(encoder, (images, labels), (images, labels), epochs=1)
        >>> 0 <= found.accuracy <= 1
        True
    """
    check_flag("from_scratch", from_scratch)
    train_images, train_labels, test_images, test_labels = (
        *_check("train", train, transform),
        *_check("test", test, transform),
    )
    if len(torch.unique(train_labels)) < 2:
        raise ValueError(f"train must hold at least two classes, got only {int(train_labels[0])}")
    classes, numbers = torch.unique(torch.cat([train_labels, test_labels]), return_inverse=True)
    if device is None:
        device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
    device = check_device(device)
    train_images, test_images, numbers = train_images.to(device), test_images.to(device), numbers.to(device)
    ours, theirs = numbers.split([len(train_labels), len(test_labels)])

    generator = as_generator(random_state)

    def tuned(*, anew: bool) -> tuple[float, nn.Module]:
        with seeded(generator, device):
            mine = copy.deepcopy(encoder).to(device).requires_grad_(True)
            if anew:
                _reset(mine)
            read = _Reading(mine, layer, transform, augment)
            read.add_head(train_images[:2], len(classes))
            fit(
                read.to(device),
                train_images,
                ours,
                epochs=epochs,
                lr=lr,
                batch_size=batch_size,
                weight_decay=weight_decay,
                schedule=schedule,
                random_state=generator,
                progress=_titled(progress, "fit from scratch" if anew else "fit"),
            )
            return accuracy(read, test_images, theirs, batch_size=512), read.classifier.eval()

    found, classifier = tuned(anew=False)
    return FineTuned(found, tuned(anew=True)[0] if from_scratch else None, classifier)


class _Classifier(nn.Module):
    """An encoder up to a layer, and a head on that layer's output."""

    head: nn.Module

    def __init__(self, encoder: nn.Module, layer: str) -> None:
        super().__init__()
        self.taps = taps(encoder, {"features": layer})

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rows(images))
        return logits

    def rows(self, images: Tensor) -> Tensor:
        features: Tensor = self.taps(images)["features"]
        return features.flatten(1).float()


class _Reading(nn.Module):
    """A classifier behind what is done with images first."""

    def __init__(
        self,
        encoder: nn.Module,
        layer: str,
        transform: Callable[[Tensor], Tensor] | None,
        augment: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__()
        self.classifier = _Classifier(encoder, layer)
        self.transform, self.augment = transform, augment

    def add_head(self, images: Tensor, classes: int) -> None:
        with evaluating(self), torch.no_grad():
            width = self.classifier.rows(self.read(images)).shape[1]
        self.classifier.head = MLPProbe(width, classes).float()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.read(images))
        return logits

    def read(self, images: Tensor) -> Tensor:
        if self.transform is not None:
            images = self.transform(images)
        return self.augment(images) if self.augment is not None and self.training else images


def _check(name: str, data: object, transform: Callable[[Tensor], Tensor] | None) -> tuple[Tensor, Tensor]:
    pair = data if isinstance(data, (tuple, list)) and len(data) == 2 else (None, None)
    images, labels = pair
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        raise TypeError(f"{name} must be a pair of tensors (images, labels), got {type(data).__name__}")
    check_batch(images, labels, transformed=transform is not None)
    if len(labels) == 0:
        raise ValueError(f"{name} must hold at least one example, got none")
    if int(labels.min()) < 0:
        raise ValueError(f"{name} labels must be at least 0, got {int(labels.min())}; leave unlabelled examples out")
    return images, labels.long().to(images.device)


def _reset(module: nn.Module) -> None:
    """Start every submodule anew, or say which one cannot."""
    for name, part in module.named_modules():
        weights = [weight for weight in part.parameters(recurse=False) if weight.is_floating_point()]
        with torch.no_grad():
            for weight in weights:
                weight.fill_(torch.nan)
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        if any(bool(weight.isnan().any()) for weight in weights):
            raise ValueError(
                f"from_scratch needs a reset_parameters() of every submodule that makes its weights anew, which "
                f"{name or 'the encoder'} ({type(part).__name__}) does not have; call fine_tune on an untrained "
                "encoder instead"
            )


def _titled(progress: Progress | None, title: str) -> Progress | None:
    if progress is None:
        return None
    report = progress
    return lambda _, done, total: report(title, done, total)
