"""Matrix products whose results have a wider dtype than their operands."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["WIDE_PRODUCTS", "product"]

WIDE_PRODUCTS = hasattr(torch.ops.aten.mm, "dtype_out")
"""Whether this version of torch multiplies half precision into float32 on CUDA, as torch 2.8 and later do."""


def product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write ``left @ right`` to ``out``, whose dtype is that of the operands or float32; sums are in float32."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    elif left.device.type == "cuda":
        torch.ops.aten.mm.dtype_out(left, right, out.dtype, out=out)
    else:
        torch.mm(left.to(out.dtype), right.to(out.dtype), out=out)
