"""Decoding of image files of any bit depth to uint8 pixels."""

import io

import numpy as np
from PIL import Image, ImageOps

from .errors import BadInput

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # Pillow's modes of grey images with more than 8 bits
WHOLE_16_BIT = (0.0, 65535.0)


def value_range(text: str) -> tuple[float, float] | None:
    """Parse ``--value-range``, the values that become black and white; return None for an empty text."""
    if not text:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
        good = np.isfinite([low, high]).all() and low < high
    except ValueError:
        good = False
    if not good:
        raise BadInput(f"--value-range: expected LOW,HIGH, such as 0,4095; got {text!r}")
    return low, high


def decode(content: bytes, size: int, span: tuple[float, float] | None) -> np.ndarray:
    """Return uint8 pixels, (H, W) for a grey image, else (H, W, 3). Damaged bytes raise any error that Pillow raises.

    Args:
        content: content of an image file.
        size: side in pixels to resize and centre-crop to; 0 keeps the size.
        span: values that become black and white in images of more than 8 bits. When None, 16-bit images use their full
            range; other images are refused, since their range is unknown.
    """
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        if image.mode in DEEP:
            whole = WHOLE_16_BIT if image.mode.startswith("I;16") or image.format in ("PNG", "PPM") else None
            image = ImageOps.exif_transpose(_to_bytes(image, span or whole))
        else:
            image = ImageOps.exif_transpose(image).convert("L" if image.mode in ("1", "L") else "RGB")
    if size:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _to_bytes(image: Image.Image, span: tuple[float, float] | None) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    if span is None:
        kind = "32-bit whole numbers" if image.mode == "I" else "floats"
        raise ValueError(
            f"{kind} from {values.min():g} to {values.max():g}, whose black and white are unknown; pass --value-range "
            "LOW,HIGH for all images"
        )
    low, high = span
    scaled = Image.fromarray(((values - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8))
    scaled.info, scaled.format = image.info, image.format
    return scaled
