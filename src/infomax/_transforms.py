"""The transforms of `torch.func`: grad, vjp, jacrev, jvp, jacfwd, hessian, vmap; and dual tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["transformed"]


def transformed(*tensors: Tensor) -> bool:
    """Return whether a `torch.func` transform is active or a tensor carries a tangent of forward-mode differentiation.

    Always False while `torch.compile` traces.
    """
    if torch.compiler.is_compiling():
        return False
    if torch._C._are_functorch_transforms_active():  # noqa: SLF001 (there is no public name)
        return True
    duals = [forward_ad.unpack_dual(tensor) for tensor in tensors]  # type: ignore[no-untyped-call]
    return any(dual.tangent is not None for dual in duals)
