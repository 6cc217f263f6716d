"""Fresh memory for large results, in large pages where the system lends them.

A result of tens of MiB is new memory each time, and its first touch costs a page fault for every 4 KiB: for a
gradient of 32 MiB, a fifth of what computing it costs. Linux serves such a range in pages of 2 MiB when
asked. It is advice: where it is not heeded, or is not Linux, nothing changes but the time.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor

__all__ = ["new_empty"]

# Below this, the allocator hands out memory that it has touched before.
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
