"""Checks of features, masks, indices and groups, made once before the features are paired."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from infomax._checks import (
    check_differentiable,
    check_floating,
    check_holds_values,
    check_integers,
    check_same_device,
    shape_of,
)
from infomax._precision import may_differ

__all__ = [
    "check_features",
    "check_group",
    "check_groups_left",
    "check_index",
    "check_mask_dtype",
    "check_mask_shape",
    "check_negatives",
    "check_present",
    "check_some_present",
    "hint_at_least",
]


def check_features(
    local: Tensor,
    global_: Tensor,
    mask: Tensor | None = None,
    *,
    batch: Tensor | None = None,
    at_least: int = 2,
    names: tuple[str, str] = ("local", "global_"),
) -> None:
    """Raise unless local (N, c, \\*spatial), global (N, d, \\*spatial) and mask fit together.

    Args:
        local: local features; rows (K, c) where ``batch`` is given.
        global_: global features.
        mask: bool, (N, \\*spatial) with the spatial axes of the local features.
        batch: the example of each row, which :func:`check_index` checks.
        at_least: the smallest N.
        names: names of both sides, for messages.
    """
    sides = dict(zip(names, (local, global_), strict=True))
    first, second = names
    check_floating(first, local)
    if isinstance(global_, Tensor) and global_.ndim == 1:
        raise ValueError(
            f"{second} must have shape (N, channels, *spatial), got {shape_of(global_)} of {global_.dtype}; pass the "
            "global features of an encoder, not labels"
        )
    check_floating(second, global_)
    if mask is not None:
        check_mask_dtype(mask)
    if mask is not None and batch is not None:
        raise ValueError("mask and batch must not be given together: rows of a ragged batch are all real")
    check_same_device(**sides, mask=mask)
    check_differentiable(sides)
    for name, tensor in sides.items():
        if tensor.ndim < 2:
            raise ValueError(f"{name} must have shape (N, channels, *spatial), got {shape_of(tensor)}")
    if batch is None and local.shape[0] != global_.shape[0]:
        ragged = first == "local" and local.ndim == 2 and local.shape[0]
        raise ValueError(
            f"{first} and {second} must hold the same examples, got batch sizes "
            f"{local.shape[0]} from {shape_of(local)} and {global_.shape[0]} from {shape_of(global_)}"
            + ("; rows of a ragged batch come with batch=index" if ragged else "")
        )
    if global_.shape[0] < at_least:
        raise ValueError(
            f"{first if batch is None else second} must hold at least {at_least} examples, got {global_.shape[0]} "
            f"from {shape_of(local if batch is None else global_)}: an InfoMax objective needs other examples as "
            "negatives; a DataLoader leaves out a last batch of one with drop_last=True"
        )
    for name, tensor in sides.items():
        if 0 in tensor.shape[1:]:
            raise ValueError(f"{name} must have at least one channel and one location, got {shape_of(tensor)}")
    if mask is not None:
        check_mask_shape(first, local, mask, (local.shape[0], *local.shape[2:]))


def check_index(batch: object, local: Tensor, examples: int) -> None:
    """Raise unless ``batch`` holds an example for each row (K, c), and each example has a row."""
    batch = check_integers("batch", batch)
    if local.ndim != 2:
        raise ValueError(
            f"local must be rows (K, c) with batch=, got {shape_of(local)}; a map of every example, (N, c, *spatial), "
            "comes without batch"
        )
    if tuple(batch.shape) != (len(local),):
        raise ValueError(
            f"batch must have the shape (K,) of rows local (K, c), got {shape_of(batch)} for local {shape_of(local)}"
        )
    check_same_device(local=local, batch=batch)
    check_holds_values(batch=batch)
    example = batch.long()  # a narrower dtype may not hold their number
    if _fails(((example >= 0) & (example < examples)).all(), lambda: "batch must hold examples of global_"):
        raise ValueError(
            f"batch must hold examples from 0 to {examples - 1}, one for each row of global_, got {int(batch.min())} "
            f"to {int(batch.max())}"
        )
    named = torch.zeros(examples, dtype=torch.bool, device=batch.device).index_fill(0, example, True)
    if _fails(named.all(), lambda: "batch must name every example at least once"):
        missing = (~named).nonzero().flatten().tolist()
        raise ValueError(
            f"batch must name every example at least once, got no row for {', '.join(map(str, missing[:5]))}"
            f"{', ...' if len(missing) > 5 else ''}; leave examples without rows out of global_"
        )


def check_negatives(
    negatives: object, local: object, *, in_batch: bool, sample_negatives: int | None, name: str = "local"
) -> None:
    """Raise unless given negatives are rows (L, c) or maps (L, c, \\*spatial) that fit the local features."""
    if negatives is None:
        raise ValueError("negatives must be given with in_batch=False, or no pair would be marginal: negatives=rows")
    check_floating("negatives", negatives)
    if not in_batch and sample_negatives is not None:
        raise ValueError("sample_negatives must be None with in_batch=False, which takes none of the other examples")
    if not isinstance(negatives, Tensor) or not isinstance(local, Tensor):
        return  # the check of the features raises for ``local``
    if negatives.ndim > 1 and len(negatives) == 0:
        raise ValueError(
            f"negatives must hold at least one row, got {shape_of(negatives)}; push features into a queue first, or "
            "pass None in the first steps, with in_batch=True"
        )
    if negatives.ndim < 2 or 0 in negatives.shape or (local.ndim > 1 and negatives.shape[1] != local.shape[1]):
        width = local.shape[1] if local.ndim > 1 else "c"
        maps = f" or (L, {width}, *spatial)" if name == "local" else ""
        raise ValueError(
            f"negatives must have shape (L, {width}){maps}, as wide as {name} {shape_of(local)}, got "
            f"{shape_of(negatives)}"
        )
    check_same_device(**{name: local}, negatives=negatives)
    if negatives.dtype != local.dtype and not may_differ(negatives, local):
        raise TypeError(f"negatives must have the dtype of {name}, {local.dtype}, got {negatives.dtype}")


def check_group(group: object, global_: Tensor, negatives: Tensor | None, *, sample_negatives: int | None) -> None:
    """Raise unless ``group`` holds a group for each example, and for all or none of the given negatives."""
    group = check_integers("group", group)
    sizes = [len(global_)] if negatives is None else [len(global_), len(global_) + len(negatives)]
    if tuple(group.shape) not in [(size,) for size in sizes]:
        beside = "" if negatives is None else f", or one per example and then one per given negative, ({sizes[1]},)"
        raise ValueError(f"group must have one integer per example, ({sizes[0]},){beside}, got {shape_of(group)}")
    check_same_device(global_=global_, group=group)
    check_holds_values(group=group)
    if sample_negatives is not None:
        raise ValueError("sample_negatives must be None with group=, which decides which examples are negatives")


def check_groups_left(own: Tensor, marginal: Tensor, which: str) -> None:
    """Raise unless every example has a negative of another group.

    Args:
        own: groups of the examples that have a location.
        marginal: groups of the examples or rows that serve as negatives.
        which: a description of these negatives, for the message.
    """
    only = marginal[0]
    if _fails(~((marginal == only).all() & (own == only).any()), lambda: "group must hold at least two groups"):
        raise ValueError(
            f"group must hold at least two groups among {which}, got only {int(only)}: no pair would be marginal"
        )


def check_mask_dtype(mask: object) -> None:
    """Raise unless ``mask`` is a bool tensor."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a bool tensor, True at real locations, got {kind}")
    if mask.layout != torch.strided or mask.is_nested:
        raise TypeError(f"mask must be a dense tensor, got layout {mask.layout}; convert it with .to_dense()")
    check_differentiable({"mask": mask}, learns=True)


def check_mask_shape(name: str, features: Tensor, mask: Tensor, expected: tuple[int, ...]) -> None:
    """Raise unless ``mask`` has the expected shape; ``name`` and ``features`` are for the message."""
    if tuple(mask.shape) != expected:
        raise ValueError(
            f"mask must have the shape {shape_of(expected)} to fit {name} {shape_of(features)}, got {shape_of(mask)}"
        )


def check_some_present(present: Tensor, message: str) -> None:
    """Raise ``ValueError`` with ``message`` unless a bool tensor holds a True."""
    check_holds_values(mask=present)
    if _fails(present.any(), lambda: message):
        raise ValueError(message)


def check_present(present: int, mask: Tensor, *, at_least: int = 2) -> None:
    """Raise unless a mask leaves real locations in enough examples.

    Args:
        present: number of examples with a real location.
        mask: the mask, for the message.
        at_least: the smallest number allowed.
    """
    if torch.compiler.is_compiling():  # checked when the graph runs, which raises a RuntimeError
        torch._check(present >= at_least, lambda: "mask must leave real locations in enough examples")  # noqa: SLF001
    elif present < at_least:
        raise ValueError(
            f"mask must leave real locations in at least {at_least} examples, got {present} of {mask.shape[0]}: an "
            "InfoMax objective needs other examples as negatives"
        )


def hint_at_least(rows: int, least: int) -> None:
    """Tell the compiler how many rows a mask or a draw leaves at least, because it does not know their number."""
    if torch.compiler.is_compiling():
        torch._check(rows >= least)  # noqa: SLF001


def _fails(fine: Tensor, rule: Callable[[], str]) -> bool:
    """Return whether a bool scalar is False; a compiled graph checks it when it runs, and raises a RuntimeError.

    The error has the message that ``rule`` returns if that is a literal; the compiler drops any other.
    """
    if torch.compiler.is_compiling():
        torch._check(len(fine.view(1).nonzero()) >= 1, rule)  # noqa: SLF001
        return False
    return not bool(fine)
