"""Semi-supervised evaluation: fine-tuning a copy of the encoder on a few labelled images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infomax._checks import check_flag
from infomax._modes import evaluating
from infomax._precision import check_device, device_of
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_batch, check_transform
from infomax.evaluation.extract import Progress, titled
from infomax.evaluation.fit import accuracy, fit, seeded
from infomax.evaluation.probes.mlp import MLPProbe
from infomax.features.tapping import taps

__all__ = ["FineTuned", "fine_tune"]


class FineTuned(NamedTuple):
    """The result of `fine_tune`.

    Args:
        accuracy: share of test examples that the fine-tuned copy classifies correctly, between 0 and 1.
        from_scratch: the same share for the same network trained from random weights; None if that was not requested.
        classifier: the fine-tuned copy with its head, a module from images as the encoder takes them (that is, after
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

    Probes measure what frozen features contain; this function measures how good a starting point the encoder is when
    labels are few. Compare with ``from_scratch=True``: the same network from random weights, trained and tested in the
    same way. The given encoder is left unchanged.

    Args:
        encoder: any `nn.Module`; in a copy of it, all parameters up to ``layer`` are trained, even if they are frozen.
        train: labelled images (N, ...) and their labels (N,).
        test: images and labels to test on. The images are read only after training; the labels also count towards the
            number of classes.
        layer: the layer whose output is the input of the head, named as for `infomax.features.tap`. The head is an
            `MLPProbe` with 200 hidden units.
        from_scratch: whether to train the same network from random weights as well, which the ``reset_parameters`` of
            each submodule draws.
        epochs: passes over the labelled images; when None, 15, or as many as make 500 steps if 15 passes make fewer.
        lr: initial learning rate of Adam.
        batch_size: images per step.
        weight_decay: weight decay of Adam.
        schedule: ``"cosine"``, ``"step"`` or ``"constant"``; see `infomax.evaluation.fit`.
        transform: a function applied to each batch of images first, as in `extract_features`.
        augment: a function applied to each training batch after ``transform``.
        random_state: an integer or a generator that determines weights, dropout and the order of examples.
        device: the device of the copy and the images; the encoder's own device when None.
        progress: called after each pass with ``"fit"`` or ``"fit from scratch"``, the passes done and the total number
            of passes.

    Returns:
        `FineTuned`: the accuracy on the test images, the accuracy from scratch if requested, and the classifier.

    Raises:
        TypeError: dtypes do not fit, images are uint8 without a ``transform``, or ``train`` or ``test`` is not a pair
            of tensors.
        ValueError: shapes do not fit, there is a single class, the encoder does not have the layer, an option is out of
            range, or logits are not finite; with ``from_scratch``, a submodule has weights that no
            ``reset_parameters`` of its own initialises.

    Numerics:
        Autocast around the call has no effect.

    Source:
        Hjelm et al., ICLR 2019, semi-supervised learning on STL-10 with a small network on the last convolution.

    Example:
        >>> from infomax import encoders
        >>> encoder = encoders.conv28()
        >>> images, labels = torch.rand(32, 1, 28, 28), torch.arange(32) % 2
        >>> found = fine_tune(encoder, (images, labels), (images, labels), epochs=1)
        >>> 0 <= found.accuracy <= 1
        True
    """
    check_flag("from_scratch", from_scratch)
    check_transform(transform)
    check_transform(augment, "augment")
    train_images, train_labels, test_images, test_labels = (
        *_check("train", train, transform),
        *_check("test", test, transform),
    )
    if len(torch.unique(train_labels)) < 2:
        raise ValueError(f"train must hold at least two classes, got only {int(train_labels[0])}")
    classes, numbers = torch.unique(torch.cat([train_labels, test_labels]), return_inverse=True)
    device = device_of(encoder) if device is None else check_device(device)
    train_images, test_images, numbers = train_images.to(device), test_images.to(device), numbers.to(device)
    ours, theirs = numbers.split([len(train_labels), len(test_labels)])

    generator = as_generator(random_state)

    def tuned(*, anew: bool) -> tuple[float, nn.Module]:
        with seeded(generator, device):
            mine = copy.deepcopy(encoder).to(device).requires_grad_(True)
            if anew:
                _reset(mine)
            read = _WithTransforms(mine, layer, transform, augment)
            width = read.width(train_images[:2])
            tested = width if test_images.shape[1:] == train_images.shape[1:] else read.width(test_images[:1])
            if tested != width:
                raise ValueError(
                    f"test must hold images of the size of train, got features of width {tested} for {width}"
                )
            read.classifier.head = MLPProbe(width, len(classes)).float()
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
                progress=titled(progress, "fit from scratch" if anew else "fit"),
            )
            return accuracy(read, test_images, theirs, batch_size=512), read.classifier.eval()

    found, classifier = tuned(anew=False)
    return FineTuned(found, tuned(anew=True)[0] if from_scratch else None, classifier)


class _Classifier(nn.Module):
    """The layers of an encoder up to a given layer, followed by a head."""

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


class _WithTransforms(nn.Module):
    """A classifier preceded by ``transform`` and, in training mode, by ``augment``."""

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

    def width(self, images: Tensor) -> int:
        """Return the number of features per image."""
        with evaluating(self), torch.no_grad():
            return self.classifier.rows(self.read(images)).shape[1]

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
    labels = labels.long()  # torch has no minimum of uint16
    if int(labels.min()) < 0:
        raise ValueError(f"{name} labels must be at least 0, got {int(labels.min())}; leave unlabelled examples out")
    return images, labels.to(images.device)


def _reset(module: nn.Module) -> None:
    """Initialise every submodule again; raise ``ValueError`` with the name of one for which that is impossible.

    Weights are first set to NaN, which reveals the weights that ``reset_parameters`` does not initialise.
    """
    for name, part in module.named_modules():
        weights = [weight for weight in part.parameters(recurse=False) if weight.is_floating_point()]
        with torch.no_grad():
            for weight in weights:
                weight.fill_(torch.nan)
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        if any(bool(weight.isnan().any()) for weight in weights):
            raise ValueError(
                f"from_scratch needs a reset_parameters() in every submodule that initialises all of its weights; "
                f"{name or 'the encoder'} ({type(part).__name__}) has none; call fine_tune on an untrained encoder "
                "instead"
            )
