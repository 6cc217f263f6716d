"""The sizes from which a loss is built, determined by one forward pass of the module that returns the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infomax._feature_pair import feature_pair

__all__ = ["sized"]


def sized(features: object, example_batch: Any, options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options of a loss with the sizes that it needs, and with the features' device if none is given.

    Args:
        features: a module that returns local and global features.
        example_batch: the input of the module: one argument, a tuple of arguments, or a dict of keyword arguments.
        options: the options that the user gave.
        *names: the sizes that the loss takes, among ``"local_dim"``, ``"global_dim"`` and ``"local_size"``.

    Raises:
        TypeError: ``features`` is not a module or does not return two tensors, or a size is among the options.
        ValueError: a returned tensor has no channel axis.
    """
    given = [name for name in names if name in options]
    if given:
        raise TypeError(f"{given[0]} must be left out: from_features reads it off the features")
    if isinstance(example_batch, Mapping):
        local, global_ = feature_pair(features, (), example_batch)
    else:
        plain = isinstance(example_batch, (tuple, list))
        local, global_ = feature_pair(features, example_batch if plain else (example_batch,), {})
    sizes = {"local_dim": local.shape[1], "global_dim": global_.shape[1], "local_size": tuple(local.shape[2:])}
    return {"device": global_.device, **options, **{name: sizes[name] for name in names}}
