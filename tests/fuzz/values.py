"""Random tensors, arrays and options: mostly valid ones, and faulty ones of every kind."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fuzz.source import Source

__all__ = ["INTEGERS", "NUMBERS", "floats", "integers", "mask", "number", "option", "size", "tensor"]

_DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64, torch.uint8]
_DTYPES += [torch.int8, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex128, torch.int32, torch.uint16]
_NO_TENSORS: list[Any] = [None, "features", 3, 2.5, [[1.0, 2.0], [3.0, 4.0]], np.ones((4, 3), np.float32), object(), ()]

INTEGERS: list[Any] = [0, -1, 10**20, -(10**20), 2**63, True, 1.5, 2.0, math.nan, "3", None, [2], b"2", Fraction(2), 1j]
INTEGERS += [np.int64(2), np.int8(2), np.uint8(3), np.float32(2.0), np.array(2), np.bool_(True), Decimal(2)]
"""Values tried where a small integer is expected. NumPy integers are valid as well."""
NUMBERS: list[Any] = [0, -1, -0.5, 10**400, 10**20, 1e-300, math.inf, -math.inf, math.nan, True, "0.5", None, [0.5], 1j]
NUMBERS += [np.float32(0.5), np.float64(0.5), np.int64(1), np.float16(0.5), Fraction(1, 2), Decimal("0.5")]
NUMBERS += [np.float32(np.nan), np.array(0.5), torch.tensor(0.5)]
"""Values tried where a number is expected. NumPy numbers and fractions are valid as well."""


def option(source: Source, plain: Sequence[Any], spoilt: Sequence[Any]) -> Any:
    """Return one of the plain values of an option, rarely a faulty one."""
    return source.choice(spoilt) if source.rarely() else source.choice(plain)


def size(source: Source, plain: Sequence[Any] = (4, 2, 3, 5, 8, 1)) -> Any:
    """Return a small integer for an option, rarely something else."""
    return option(source, plain, INTEGERS)


def number(source: Source, plain: Sequence[Any] = (1.0, 0.5, 0.1, 2.0)) -> Any:
    """Return a number for an option, rarely something else."""
    return option(source, plain, NUMBERS)


def floats(source: Source, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random values of a shape: mostly moderate, sometimes constant, extreme, rounded or not finite."""
    generator = torch.Generator().manual_seed(source.seed())
    values = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    kind = source.below(24)
    if kind == 1:
        values = values * 1e4
    elif kind == 2:
        values = torch.zeros_like(values)
    elif kind == 3:
        values = torch.full_like(values, 1e4)
    elif kind == 4:
        values = values.sign() * 1e-30
    elif kind == 5:
        values = values * 1e30
    elif kind == 6:
        values = values.round()
    elif kind == 7:
        values = values[:1].expand_as(values).clone() if values.ndim and len(values) else values
    if kind in (8, 9, 10) and values.numel():
        values.view(-1)[source.byte() % values.numel()] = [math.nan, math.inf, -math.inf][kind - 8]
    return values.to(dtype)


def tensor(source: Source, shape: Sequence[int], dtype: torch.dtype = torch.float32, *, gradient: bool = True) -> Any:
    """Return features of a shape; rarely another shape, dtype, device or layout, or an object that is not a tensor."""
    sizes = list(shape)
    if source.rarely():
        sizes = _other_shape(source, sizes)
    values = floats(source, sizes, dtype)
    if source.rarely():
        values = values.to(source.choice(_DTYPES))
    values = _other_memory(source, values)
    if source.rarely():
        return _other_kind(source, values)
    if gradient and values.is_floating_point() and values.dtype.itemsize > 1 and source.below(2):
        values = values.detach().requires_grad_()
    return values


def integers(source: Source, length: int, stop: int) -> Any:
    """Return indices (length,) in [0, stop); rarely out of range, or of another dtype or shape."""
    generator = torch.Generator().manual_seed(source.seed())
    values = torch.randint(max(1, stop), (length,), generator=generator)
    if source.below(2) and stop:
        values = torch.arange(length) % stop
    if source.rarely():
        values = values + source.choice([1, -1, stop, -(2**40), 2**62])
    if source.rarely():
        values = values.to(source.choice([torch.int32, torch.uint8, torch.int8, *_DTYPES]))
    if source.rarely():
        values = values[:-1] if source.below(2) else values[None]
    return _other_kind(source, values) if source.rarely() else values


def mask(source: Source, shape: Sequence[int]) -> Any:
    """Return a bool tensor with 70 %, 30 %, all or none of its values True; rarely another dtype, shape or object."""
    generator = torch.Generator().manual_seed(source.seed())
    share = source.choice([0.7, 0.3, 1.1, 0.0])
    values = torch.rand(tuple(shape), generator=generator) < share
    if source.rarely():
        values = values.to(source.choice(_DTYPES))
    if source.rarely():
        values = values[:-1] if source.below(2) else values[..., None]
    return _other_kind(source, values) if source.rarely() else values


def _other_shape(source: Source, sizes: list[int]) -> list[int]:
    kind = source.below(8)
    at = source.byte() % len(sizes) if sizes else 0
    if kind == 0 and sizes:
        sizes[at] = 0
    elif kind == 1 and sizes:
        sizes[at] += 1
    elif kind == 2 and sizes:
        sizes[at] = 1
    elif kind == 3:
        sizes.append(2)
    elif kind == 4:
        sizes = sizes[:-1]
    elif kind == 5:
        sizes = []
    elif kind == 6:
        sizes = sizes[::-1]
    else:
        sizes = [*sizes, *[1] * 6]
    return sizes


_MEMORY: list[Callable[[Tensor], Tensor]] = [
    lambda t: t,
    lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    lambda t: torch.stack([t, t], -1)[..., 1],
    lambda t: t[:1].expand_as(t) if len(t) else t,
    lambda t: torch.as_strided(torch.cat([t.reshape(-1), t.new_zeros(7)]), t.shape, t.stride(), 0),
    lambda t: t.movedim(1, -1).contiguous().movedim(-1, 1) if t.ndim > 2 else t,
    lambda t: t.new_zeros(0, 3).new_empty(1).expand(t.shape) * 0 if t.numel() else t,
    lambda t: torch.flip(t, [0]),
]


def _other_memory(source: Source, values: Tensor) -> Tensor:
    change = source.choice(_MEMORY)
    return values if values.ndim == 0 or values.dtype.itemsize == 1 else change(values)


def _other_kind(source: Source, values: Tensor) -> Any:
    kind = source.below(9)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about beta features and deprecated ones
            return _converted(source, values, kind)
    except (RuntimeError, NotImplementedError):  # no tensor of this kind can be made from the values
        return values


def _converted(source: Source, values: Tensor, kind: int) -> Any:
    if kind == 0:
        return values.to("meta")
    if kind == 1:
        return values.to_sparse() if values.dtype.itemsize > 1 or values.dtype == torch.bool else values
    if kind == 2 and values.ndim == 2 and values.dtype == torch.float32:
        return values.to_sparse_csr()
    if kind == 3:
        with torch.inference_mode():
            return values.clone()
    if kind == 4:
        return values.numpy() if values.dtype in (torch.float32, torch.int64, torch.bool) else values.tolist()
    if kind == 5 and values.dtype == torch.float32 and values.ndim == 2 and len(values):
        return torch.nested.nested_tensor(list(values.unbind()), layout=torch.jagged)
    if kind == 6 and values.dtype == torch.float32 and values.numel():
        return torch.quantize_per_tensor(torch.nan_to_num(values).clamp(-9, 9), 0.1, 0, torch.qint8)
    if kind == 7 and values.dtype == torch.float32 and values.ndim < 6 and values.numel():
        return values.to_mkldnn()
    return source.choice(_NO_TENSORS)
