"""How much of an image a representation keeps, measured by the MS-SSIM of a decoder trained on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from infomax._checks import check_number, check_positive, shape_of
from infomax._extras import require
from infomax._modes import evaluating
from infomax._random import RandomState, as_generator
from infomax.evaluation.checks import check_frozen, check_images
from infomax.evaluation.extract import Progress
from infomax.evaluation.fit import fit, seeded
from infomax.evaluation.label_free.decoder import Decoder
from infomax.evaluation.label_free.similarity import ms_ssim, scales_of
from infomax.evaluation.standardise import Standardise

__all__ = ["Reconstruction", "reconstruction"]

_ROWS = 512  # test rows decoded at a time


class Reconstruction(NamedTuple):
    """The result of `reconstruction`.

    Args:
        ms_ssim: mean multi-scale structural similarity of the decoded and the true test images; 1 is perfect. No unit.
        mse: mean squared error per pixel and channel, for images scaled to [0, 1].
        scales: number of scales that MS-SSIM compared, as many as the images are large enough for.
        images: (K, C, H, W), float32 in [0, 1], on the CPU: reconstructions of the first test images.
        decoder: the trained decoder, from features (N, D), which it standardises, to images in [0, 1].

    Example:
        >>> import torch
        >>> from infomax.evaluation import Decoder, Reconstruction
        >>> decoder = Decoder(4, (1, 16, 16))
        >>> images = decoder(torch.randn(2, 4)).detach()
        >>> found = Reconstruction(ms_ssim=0.41, mse=0.02, scales=1, images=images, decoder=decoder)
        >>> found.images.shape
        torch.Size([2, 1, 16, 16])
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
    random_state: RandomState = None,
    progress: Progress | None = None,
) -> Reconstruction:
    r"""Train a decoder on frozen features with the squared error, and compare its test reconstructions with the images.

    .. math:: \min_\theta \mathbb{E}\, \| \mathrm{dec}_\theta(y) - x \|^2

    Features of the test images are decoded, and `ms_ssim` compares the result with the images. Structure that the
    representation keeps is visible in the reconstruction; structure that it discards is blurred. A representation that
    is good for classification can score low here: the score describes a representation and is not a goal in itself.

    Args:
        train_images: (N, C, H, W), or images that ``transform`` turns into this shape.
        train_features: (N, D), `y` of those images, for instance from `extract_features`. The decoder is moved to the
            device of these features.
        test_images: (M, C, H, W).
        test_features: (M, D).
        value_range: smallest and largest possible value of the images, after ``transform``.
        decoder: an untrained module from (N, D) to images (N, C, H, W) in [0, 1]; a `Decoder` when None. Its inputs are
            standardised features, and it is trained in place.
        epochs: passes over the training pairs; when None, 15, or as many as make 500 steps if 15 passes make fewer.
        lr: initial learning rate of Adam; it decays along a cosine.
        batch_size: images per step.
        keep: number of reconstructions to return.
        transform: a function applied to each batch of images first, as in `extract_features`.
        random_state: an integer or a generator that determines weights and the order of pairs.
        progress: called after each pass with ``"fit"``, the passes done and the total number of passes.

    Returns:
        `Reconstruction`: MS-SSIM and mean squared error on all test images, some reconstructions, and the decoder.

    Raises:
        ImportError: torchmetrics is not installed.
        TypeError: dtypes do not fit, or images are uint8 without a ``transform``.
        ValueError: shapes do not fit, images are outside ``value_range`` or have a side below 11 pixels, features are
            not finite, or an option is out of range.

    Numerics:
        Works in float32, on images scaled from ``value_range`` to [0, 1].

    Source:
        Hjelm et al., ICLR 2019, section 4.1, as a measure of a representation. The decoder's layers are this library's
        choice.

    Example:
        >>> images = torch.rand(64, 1, 16, 16).round()
        >>> features = images[:, :, ::4, ::4].flatten(1)
        >>> found = reconstruction(images, features, images[:8], features[:8], epochs=2)
        >>> found.images.shape
        torch.Size([8, 1, 16, 16])
    """
    train, test = check_frozen(train_features, test_features, at_least=2)
    check_images("train_images", train_images, train, transform)
    check_images("test_images", test_images, test, transform)
    keep = check_positive("keep", keep)
    if not isinstance(value_range, Sequence) or len(value_range) != 2:
        raise ValueError(f"value_range must be (least, greatest), got {value_range!r}")
    low, high = (check_number("value_range", bound) for bound in value_range)
    if not low < high:
        raise ValueError(f"value_range must be (least, greatest), got {value_range}")
    require(
        "torchmetrics", package="torchmetrics", by="reconstruction", extra="evaluation"
    )  # checked here, before the training, although only `ms_ssim` needs it
    generator = as_generator(random_state)
    device = train.device

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

    with seeded(generator, device):
        shape, of_test = (tuple(read(images[:1]).shape[1:]) for images in (train_images, test_images))
        if len(shape) != 3:
            raise ValueError(f"train_images must have shape (N, C, H, W), got images of shape {shape_of(shape)}")
        if of_test != shape:
            raise ValueError(f"test_images must have the shape of train_images, {shape} per image, got {of_test}")
        scales_of(shape[1:])
        network = Decoder(train.shape[1], shape) if decoder is None else decoder
        whole = nn.Sequential(Standardise(train), network).to(device, train.dtype)
        with evaluating(whole), torch.no_grad():
            made = whole(train[:2])
        if tuple(made.shape[1:]) != shape:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise ValueError(f"decoder must return images of shape {expected}, got {shape_of(made)}")
        fit(
            whole,
            train,
            train_images,
            loss=lambda made, images: functional.mse_loss(made, read(images)),
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            random_state=generator,
            progress=progress,
        )
        similarities, errors, kept = [], [], []
        with evaluating(whole), torch.no_grad():
            for start in range(0, len(test_images), _ROWS):
                rows = slice(start, start + _ROWS)
                images, made = read(test_images[rows]), whole(test[rows])
                similarities.append(ms_ssim(made, images))
                errors.append((made - images).square().flatten(1).mean(1))
                if start < keep:
                    kept.append(made[: keep - start].cpu())
    similarity, error = torch.cat(similarities).mean(), torch.cat(errors).mean()
    return Reconstruction(float(similarity), float(error), scales_of(shape[1:]), torch.cat(kept), whole.eval())
