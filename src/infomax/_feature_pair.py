"""Local and global features of a module that returns both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from infomax._checks import shape_of
from infomax._modes import without_side_effects

__all__ = ["feature_pair"]


def feature_pair(features: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Run a module once, inside `without_side_effects`, and return its local and global features.

    Raises:
        TypeError: ``features`` is not a module, or does not return two tensors.
        ValueError: a returned tensor has no channel axis.
    """
    if not isinstance(features, nn.Module):
        raise TypeError(
            f"features must be a module that returns local and global features, got {type(features).__name__}; "
            "infomax.tap makes one of any encoder"
        )
    with without_side_effects(features):
        output = features(*args, **kwargs)
    pair = isinstance(output, (tuple, list)) and len(output) == 2
    if not pair or not all(isinstance(item, Tensor) for item in output):
        raise TypeError(f"features must return local and global features, got {type(output).__name__}; use tap")
    local, global_ = output
    for name, value in (("local", local), ("global", global_)):
        if value.ndim < 2:
            raise ValueError(f"features must return {name} features with channels second, got shape {shape_of(value)}")
    return local, global_
