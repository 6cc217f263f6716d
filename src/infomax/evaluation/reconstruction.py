"""How much of an image a representation keeps: a decoder trained on frozen features, judged by MS-SSIM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from infomax._checks import check_floating, check_positive, shape_of
from infomax._extras import require
from infomax.evaluation.decoder import Decoder
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import fit, seeded
from infomax.evaluation.frozen import check_frozen, check_images
from infomax.evaluation.probes import Standardise
from infomax.features.modes import evaluating

__all__ = ["Reconstruction", "ms_ssim", "reconstruction"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
_SMALLEST = {5: 176, 4: 99, 3: 44, 2: 22, 1: 11}  # scales and the side in pixels that they need
_ROWS = 512  # decoded at a time


class Reconstruction(NamedTuple):
    """What a decoder makes of frozen features of test images.

    Args:
        ms_ssim: mean multi-scale structural similarity with the images; 1 is perfect. No unit.
        mse: mean squared error a value, images scaled to [0, 1].
        scales: the scales that MS-SSIM compared, as many as the images are large enough for.
        images: (K, C, H, W), float32 in [0, 1], on the CPU: the first test images as decoded.
        decoder: the trained decoder, from features (N, D) to images in [0, 1].
    """

    ms_ssim: float
    mse: float
    scales: int
    images: Tensor
    decoder: nn.Module


def reconstruction(
    train_images: Tensor,
    train_features: Tensor,
    test_images: Tensor,
    test_features: Tensor,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    decoder: nn.Module | None = None,
    epochs: int | None = None,
    lr: float = 2e-3,
    batch_size: int = 128,
    keep: int = 64,
    transform: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    r"""Train a decoder with the squared error on frozen features, and compare what it makes of others with the images.

    .. math:: \min_\theta \mathbb{E}\, \| \mathrm{dec}_\theta(y) - x \|^2

    Features of the test images are decoded and compared by `ms_ssim`: structure that the representation keeps is
    there, structure that it dropped is a blur. A representation can be good for classes and bad at this; it is a
    description and not a goal.

    Args:
        train_images: (N, C, H, W), or whatever ``transform`` makes that of.
        train_features: (N, D): `y` of those images, as `extract_features` gives it. The decoder goes to its device.
        test_images: (M, C, H, W).
        test_features: (M, D).
        value_range: least and greatest value of the images, after ``transform``.
        decoder: an untrained module from (N, D) to images (N, C, H, W) in [0, 1]; a `Decoder` when None. It sees
            standardised features, and is trained in place.
        epochs: passes over the training pairs; when None 15, or as many as make 500 steps where they are few.
        lr: learning rate of Adam at the start; it falls along a cosine.
        batch_size: images a step.
        keep: reconstructions to hand back.
        transform: what to do with each batch of images first, as in `extract_features`.
        generator: a CPU generator that decides weights and order.
        progress: called after each pass with ``"fit"``, passes done and passes in all.

    Returns:
        `Reconstruction`: MS-SSIM and mean squared error on all test images, some of the reconstructions, and the
        decoder.

    Raises:
        ImportError: torchmetrics is not installed.
        TypeError: dtypes that do not fit, uint8 images without a ``transform``.
        ValueError: shapes that do not fit, images outside ``value_range`` or smaller than 11 pixels, features that
            are not finite, an option out of range.

    Numerics:
        Works in float32, on images scaled from ``value_range`` to [0, 1].

    Source:
        Hjelm et al., ICLR 2019, section 4.1, as a measure of a representation. The decoder's layers are ours.

    Example:
        >>> images = torch.rand(64, 1, 16, 16).round()
        >>> features = images[:, :, ::4, ::4].flatten(1)
        >>> found = reconstruction(images, features, images[:8], features[:8], epochs=2)
        >>> found.images.shape
        torch.Size([8, 1, 16, 16])
    """
    check_frozen(train_features, test_features, at_least=2)
    check_images("train_images", train_images, train_features, transform)
    check_images("test_images", test_images, test_features, transform)
    check_positive("keep", keep)
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range must be (least, greatest), got {value_range}")
    require(
        "torchmetrics", package="torchmetrics", by="reconstruction", extra="evaluation"
    )  # before the work, not after it
    device = train_features.device

    def read(images: Tensor) -> Tensor:
        images = images.to(device)
        scaled = ((transform(images) if transform else images).float() - low) / (high - low)
        if not bool(((scaled >= -1e-4) & (scaled <= 1 + 1e-4)).all()):
            least, greatest = (high - low) * scaled.min() + low, (high - low) * scaled.max() + low
            raise ValueError(
                f"images must lie in value_range {value_range}, got values from {least:.3g} to {greatest:.3g}; pass "
                "the range that yours have"
            )
        return scaled

    shape = tuple(read(train_images[:1]).shape[1:])
    if len(shape) != 3:
        raise ValueError(f"train_images must have shape (N, C, H, W), got images of shape {shape}")
    _scales(shape[1:])
    with seeded(generator, device):
        network = Decoder(train_features.shape[1], shape) if decoder is None else decoder
        whole = nn.Sequential(Standardise(train_features.float()), network).to(device)
        fit(
            whole,
            train_features.float(),
            train_images,
            loss=lambda made, images: functional.mse_loss(made, read(images)),
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            generator=generator,
            progress=progress,
        )
    similarities, errors, kept = [], [], []
    with evaluating(whole), torch.no_grad():
        for start in range(0, len(test_images), _ROWS):
            rows = slice(start, start + _ROWS)
            images, made = read(test_images[rows]), whole(test_features[rows].float())
            similarities.append(ms_ssim(made, images))
            errors.append((made - images).square().flatten(1).mean(1))
            if start < keep:
                kept.append(made[: keep - start].cpu())
    similarity, error = torch.cat(similarities).mean(), torch.cat(errors).mean()
    return Reconstruction(float(similarity), float(error), _scales(shape[1:]), torch.cat(kept), whole)


def ms_ssim(images: Tensor, reference: Tensor) -> Tensor:
    r"""Multi-scale structural similarity of images in [0, 1], over as many scales as they are large enough for.

    .. math:: \mathrm{MS\text{-}SSIM} = l_S^{\beta_S} \prod_{s=1}^{S} c_s^{\beta_s}

    with the Gaussian window of 11 pixels, and between scales a mean over 2x2 pixels. Wang et al. compare five scales,
    which need 176 pixels: with fewer pixels the coarsest would be smaller than the window. Here images from 44 pixels
    on (64) get the first three scales, from 22 on (28, 32) two, from 11 on one, with Wang's weights divided by their
    sum. So values compare between images of one size, not between sizes, and not with what others compute with
    other windows.

    Args:
        images: (N, C, H, W), between 0 and 1.
        reference: (N, C, H, W).

    Returns:
        (N,), at most 1, and 1 for equal images. No unit.

    Raises:
        ImportError: torchmetrics is not installed.
        TypeError: images that are not floating point.
        ValueError: shapes that differ, or sides below 11 pixels.

    Numerics:
        A negative similarity of a scale counts as 0. Computed by torchmetrics.

    Source:
        Wang, Simoncelli & Bovik 2003, "Multiscale structural similarity for image quality assessment".

    Example:
        >>> images = torch.rand(2, 3, 32, 32)
        >>> ms_ssim(images, images)
        tensor([1., 1.])
    """
    for name, values in (("images", images), ("reference", reference)):
        check_floating(name, values)
    if images.ndim != 4 or images.shape != reference.shape:
        raise ValueError(
            "images and reference must have the same shape (N, C, H, W), got "
            f"{shape_of(images)} and {shape_of(reference)}"
        )
    scales = _scales(tuple(images.shape[2:]))
    total = sum(_WEIGHTS[:scales])
    similarity: Tensor = require(
        "torchmetrics.functional.image", package="torchmetrics", by="ms_ssim", extra="evaluation"
    ).multiscale_structural_similarity_index_measure(
        images,
        reference,
        data_range=1.0,
        betas=tuple(weight / total for weight in _WEIGHTS[:scales]),
        normalize="relu",
        reduction="none",
    )
    return similarity.reshape(-1)  # of a single image comes a scalar


def _scales(size: tuple[int, ...]) -> int:
    for scales, side in _SMALLEST.items():
        if min(size) >= side:
            return scales
    raise ValueError(
        f"images must have sides of at least {_SMALLEST[1]} pixels, the window of MS-SSIM, got "
        f"{'x'.join(map(str, size))}"
    )
