"""New memory for large results, in large pages where the operating system provides them.

A result of tens of MiB gets new memory at each call, and its first use causes a page fault for every 4 KiB. For a
gradient of 32 MiB, these faults take a fifth of the time of its computation. On Linux, ``madvise`` requests pages of
2 MiB for such memory. If the request is not granted, or on other systems, only the time differs.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor

__all__ = ["new_empty"]

# Smaller tensors get memory that the allocator has used before.
_LARGE = 8 * 2**20
_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)


def new_empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor on the device of ``like``."""
    tensor = like.new_empty(shape, dtype=dtype)
    size = tensor.numel() * tensor.element_size()
    if _ADVICE is not None and sys.platform == "linux" and tensor.device.type == "cpu" and size >= _LARGE:
        first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (tensor.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), ctypes.c_int(_ADVICE))
    return tensor
