"""Multi-scale structural similarity of images."""

from __future__ import annotations

from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of
from infomax._extras import require
from infomax.evaluation.checks import check_values

__all__ = ["ms_ssim", "scales_of"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
_SMALLEST = {5: 176, 4: 99, 3: 44, 2: 22, 1: 11}  # the smallest side in pixels for each number of scales


def ms_ssim(images: Tensor, reference: Tensor) -> Tensor:
    r"""Compute the multi-scale structural similarity of images in [0, 1], with as many scales as their size allows.

    .. math:: \mathrm{MS\text{-}SSIM} = l_S^{\beta_S} \prod_{s=1}^{S} c_s^{\beta_s}

    with a Gaussian window of 11 pixels, and a mean over 2x2 pixels between scales. Wang et al. compare five scales,
    which need sides of 176 pixels: in smaller images the coarsest scale would be smaller than the window. Here images
    with sides of at least 99 pixels get the first four scales, 44 (such as 64) three, 22 (28, 32) two and 11 one, with
    Wang's weights divided by their sum. Values are comparable between images of the same size, but neither between
    sizes nor with implementations that use other windows.

    Args:
        images: (N, C, H, W), between 0 and 1.
        reference: (N, C, H, W), between 0 and 1.

    Returns:
        (N,), at most 1, and 1 for equal images. No unit.

    Raises:
        ImportError: torchmetrics is not installed.
        TypeError: images are not floating point.
        ValueError: shapes differ, or a side is below 11 pixels.

    Numerics:
        A negative similarity of a scale is replaced by 0. Computed by torchmetrics.

    Source:
        Wang, Simoncelli & Bovik 2003, "Multiscale structural similarity for image quality assessment".

    Example:
        >>> images = torch.rand(2, 3, 32, 32)
        >>> ms_ssim(images, images)
        tensor([1., 1.])
    """
    for name, values in (("images", images), ("reference", reference)):
        check_floating(name, values)
    check_same_device(images=images, reference=reference)
    check_values(images=images, reference=reference)
    if images.ndim != 4 or images.shape != reference.shape or 0 in images.shape:
        raise ValueError(
            "images and reference must have the same shape (N, C, H, W), none of them 0, got "
            f"{shape_of(images)} and {shape_of(reference)}"
        )
    scales = scales_of(tuple(images.shape[2:]))
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
    return similarity.reshape(-1)  # for a single image torchmetrics returns a scalar


def scales_of(size: tuple[int, ...]) -> int:
    """Return the number of scales that images of this size allow, or raise ``ValueError`` if they allow none."""
    for scales, side in _SMALLEST.items():
        if min(size) >= side:
            return scales
    raise ValueError(
        f"images must have sides of at least {_SMALLEST[1]} pixels, the window of MS-SSIM, got "
        f"{'x'.join(map(str, size))}"
    )
