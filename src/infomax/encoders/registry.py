"""Short names of encoders, looked up here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from infomax.encoders.conv import ConvEncoder
from infomax.encoders.paper import alexnet64, conv28, conv32, conv64

__all__ = ["build", "names"]

_BUILDERS: dict[str, Callable[..., ConvEncoder]] = {
    "conv28": conv28,
    "conv32": conv32,
    "conv64": conv64,
    "alexnet64": alexnet64,
}


def names() -> tuple[str, ...]:
    """Short names that `build` knows.

    Example:
        >>> names()
        ('conv28', 'conv32', 'conv64', 'alexnet64')
    """
    return tuple(_BUILDERS)


def build(name: str, *, input_channels: int | None = None, global_dim: int = 64) -> ConvEncoder:
    """Build one of the paper's encoders by its short name.

    Args:
        name: one of `names`.
        input_channels: channels of the images; by default 1 for ``conv28`` and 3 for the others.
        global_dim: width d of the global vector.

    Returns:
        The encoder, an `nn.Module` that maps images to `Features`.

    Raises:
        ValueError: an unknown name, or a size below 1.

    Example:
        >>> build("conv32", global_dim=16).global_dim
        16
    """
    if name not in _BUILDERS:
        raise ValueError(f"name must be one of {', '.join(names())}; got {name!r}")
    if input_channels is None:
        return _BUILDERS[name](global_dim=global_dim)
    return _BUILDERS[name](input_channels=input_channels, global_dim=global_dim)
