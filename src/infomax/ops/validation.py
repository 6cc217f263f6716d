"""Checks of the arguments of the public ops. They read values only on the CPU, so no accelerator is synchronised."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._checks import check_differentiable, check_integers, check_number, check_same_device, shape_of
from infomax.ops.problem import count_keys

__all__ = ["check_groups", "check_joint", "check_joint_values", "check_options", "check_vectors"]

_LARGEST = torch.finfo(torch.float32).max

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_vectors(query: Tensor, key: Tensor) -> None:
    """Check queries ``(M, d)`` and keys ``(K, d)``.

    Raises:
        TypeError: A dtype is not supported, or the two dtypes differ.
        ValueError: A tensor is not a matrix, or the two differ in ``d`` or in their device.
    """
    for name, tensor, rows in (("query", query, "M"), ("key", key, "K")):
        if tensor.dtype not in _DTYPES:
            raise TypeError(f"{name} must be float64, float32, bfloat16 or float16, got {tensor.dtype}")
        if tensor.ndim != 2:
            raise ValueError(f"{name} must have shape ({rows}, d), got {shape_of(tensor)}; flatten it to rows")
    if query.shape[1] != key.shape[1]:
        raise ValueError(
            "query and key must have the same number of features d, got query "
            f"{shape_of(query)} and key {shape_of(key)}; project them to one width"
        )
    if query.dtype != key.dtype:
        raise TypeError(
            f"query and key must have the same dtype, got {query.dtype} and {key.dtype}; "
            "convert one" + ("" if torch.float64 in (query.dtype, key.dtype) else ", or call under torch.autocast")
        )
    check_same_device(query=query, key=key)
    check_differentiable({"query": query, "key": key})


def check_groups(query: Tensor, keys: int, query_group: Tensor | None, key_group: Tensor | None) -> None:
    """Check the groups of queries and keys.

    Raises:
        TypeError: A group is not an integer tensor.
        ValueError: One is given without the other, does not have one entry per row, or is on another device.
    """
    if query_group is None and key_group is None:
        return
    if query_group is None or key_group is None:
        given, missing = ("key_group", "query_group") if query_group is None else ("query_group", "key_group")
        raise ValueError(
            f"query_group and key_group must be given together, got {given} without {missing}; "
            "give both, or neither to exclude nothing"
        )
    _check_integers("query_group", query_group, "query", len(query))
    _check_integers("key_group", key_group, "key", keys)
    check_same_device(query=query, query_group=query_group, key_group=key_group)


def check_joint(query: Tensor, joint_query: Tensor | None, joint_key: Tensor | None) -> None:
    """Check the types and shapes of the joint pairs. `check_joint_values` checks their order and bounds.

    Raises:
        TypeError: An index is not an integer tensor.
        ValueError: One is given without the other, their lengths differ, or they are on another device.
    """
    if joint_query is None and joint_key is None:
        return
    if joint_query is None or joint_key is None:
        given, missing = ("joint_key", "joint_query") if joint_query is None else ("joint_query", "joint_key")
        raise ValueError(f"joint_query and joint_key must be given together, got {given} without {missing}")
    _check_integers("joint_query", joint_query, None, None)
    _check_integers("joint_key", joint_key, "joint_query", len(joint_query))
    check_same_device(query=query, joint_query=joint_query, joint_key=joint_key)


def check_joint_values(query: Tensor, key: Tensor, joint_query: Tensor, joint_key: Tensor) -> None:
    """Check the order and the bounds of joint pairs. This reads their values, so it is called on the CPU only.

    Raises:
        ValueError: The keys are out of order, or an index is out of bounds.
    """
    if not len(joint_key):
        return
    if bool((joint_key[1:] < joint_key[:-1]).any()):
        raise ValueError("joint_key must be non-decreasing, got keys out of order; sort the pairs by key")
    for name, index, rows in (("joint_query", joint_query, len(query)), ("joint_key", joint_key, count_keys(key))):
        lowest, highest = (int(extreme) for extreme in index.aminmax())
        if lowest < 0 or highest >= rows:
            raise ValueError(f"{name} must be within [0, {rows}), got values from {lowest} to {highest}")


def check_options(scale: float, clip: float | None, soft_clip: float | None) -> None:
    """Check the scale and the clip bounds of scores.

    Raises:
        TypeError: An option is not a number.
        ValueError: The scale is not finite, or a bound is not positive and finite; or float32 cannot hold one of them.
    """
    if isinstance(scale, Tensor):
        raise TypeError("scale must be a number, got a torch.Tensor; multiply query by it, which keeps its gradient")
    check_number("scale", scale)
    for name, bound in (("clip", clip), ("soft_clip", soft_clip)):
        if bound is not None:
            check_number(name, bound, above=0)
    for name, number in (("scale", scale), ("clip", clip), ("soft_clip", soft_clip)):
        if number is not None and abs(number) > _LARGEST:
            raise ValueError(f"{name} must be at most {_LARGEST:.3g} in magnitude, as float32 holds it, got {number}")


def _check_integers(name: str, value: Tensor, match: str | None, length: int | None) -> None:
    check_integers(name, value)
    if value.ndim != 1 or (length is not None and len(value) != length):
        wanted = "(J,)" if length is None else f"({length},), one for each row of {match}"
        raise ValueError(f"{name} must have shape {wanted}, got {shape_of(value)}")
