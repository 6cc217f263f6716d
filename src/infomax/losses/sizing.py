"""The sizes that a loss is built from, off one forward pass of the module that will feed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infomax._modes import feature_pair

__all__ = ["sized"]


def sized(features: object, example_batch: Any, options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The options of a loss with the sizes it needs, and with the features' device where none is given.

    Args:
        features: a module that returns local and global features.
        example_batch: what to call it with: one argument, a tuple of them, or a dict of keyword arguments.
        options: what the user chose.
        *names: ``"local_dim"``, ``"global_dim"``, ``"local_size"``: what the loss takes.

    Raises:
        TypeError: ``features`` is no module or returns something else; a size is among the options.
        ValueError: features without channels.
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
