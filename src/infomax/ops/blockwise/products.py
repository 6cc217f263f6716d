"""Matrix products whose results are wider than their operands."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["WIDE_PRODUCTS", "product"]

WIDE_PRODUCTS = hasattr(torch.ops.aten.mm, "dtype_out")
"""Whether this torch multiplies halves into float32 on CUDA: from 2.8 on."""


def product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Put ``left @ right``, summed in float32, in ``out``, whose dtype is that of the operands or float32."""
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    elif left.device.type == "cuda":
        torch.ops.aten.mm.dtype_out(left, right, out.dtype, out=out)
    else:
        torch.mm(left.to(out.dtype), right.to(out.dtype), out=out)
