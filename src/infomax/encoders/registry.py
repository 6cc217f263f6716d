"""Short names of encoders; this is the only module that looks them up."""

from __future__ import annotations

from collections.abc import Callable

from infomax._checks import check_choice
from infomax.encoders.on_crops import GLOBALS, alexnet64_crops, resnet32_crops
from infomax.encoders.paper import alexnet64, conv28, conv32, conv64
from infomax.encoders.staged import StagedEncoder
from infomax.encoders.wide import wide32

__all__ = ["build", "names"]

_BUILDERS: dict[str, Callable[..., StagedEncoder]] = {
    "conv28": conv28,
    "conv32": conv32,
    "conv64": conv64,
    "alexnet64": alexnet64,
    "wide32": wide32,
}
_ON_CROPS: dict[str, Callable[..., StagedEncoder]] = {
    "resnet32-crops": resnet32_crops,
    "alexnet64-crops": alexnet64_crops,
}


def names() -> tuple[str, ...]:
    """Return the short names that `build` accepts.

    Example:
        >>> names()
        ('conv28', 'conv32', 'conv64', 'alexnet64', 'wide32', 'resnet32-crops', 'alexnet64-crops')
    """
    return (*_BUILDERS, *_ON_CROPS)


def build(
    name: str, *, input_channels: int | None = None, global_dim: int = 64, globals_: str = "one"
) -> StagedEncoder:
    """Build an encoder by its short name: one of the paper's, or ``wide32``, which is this library's own.

    Args:
        name: one of `names`.
        input_channels: channels of the images; by default 1 for ``conv28`` and 3 for the others.
        global_dim: width d of each global feature.
        globals_: ``"one"`` global feature per image, or ``"many"``, which only the encoders on crops offer.

    Returns:
        The encoder, an `nn.Module` that maps images to `Features`.

    Raises:
        TypeError: the name or ``globals_`` is not a string, or a size is not an integer.
        ValueError: the name is unknown, a size is below 1, or ``globals_="many"`` is passed for an encoder not on
            crops.

    Example:
        >>> build("conv32", global_dim=16).global_dim
        16
    """
    check_choice("name", name, names())
    check_choice("globals_", globals_, GLOBALS)
    options = (
        {"global_dim": global_dim}
        if input_channels is None
        else {"global_dim": global_dim, "input_channels": input_channels}
    )
    if name in _ON_CROPS:
        return _ON_CROPS[name](globals_=globals_, **options)
    if globals_ != "one":
        raise ValueError(f"globals_ must be 'one' for {name}, got {globals_!r}; many come from {', '.join(_ON_CROPS)}")
    return _BUILDERS[name](**options)
