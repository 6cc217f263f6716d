"""What must stay within limits: the memory of a call, what a crop sees, what a process holds of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tolerances import assert_close
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0
        self.where = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            # Strides of zero are a view: what counts is what is stored.
            if isinstance(tensor, Tensor) and 0 not in tensor.stride() and tensor.numel() > self.numel:
                self.numel, self.where = tensor.numel(), str(func)
        return result


def check_no_table_larger_than(limit: int, compute: Callable[[], Tensor]) -> None:
    """No operation of forward or backward makes a tensor of more than ``limit`` numbers."""
    with LargestTensor() as largest:
        compute().backward()
    assert largest.numel > 0
    assert largest.numel <= limit, f"{largest.where} makes {largest.numel} numbers, more than {limit}"


def check_crops_are_alone(
    encode: Callable[[Tensor], Tensor], images: Tensor, crop_size: int, stride: int, pixels: list[tuple[int, int]]
) -> None:
    """Changing a pixel changes the locations whose crop holds it, and no others."""
    before = encode(images)
    for row, column in pixels:
        changed = images.clone()
        changed[:, :, row, column] += 3.0
        moved = (encode(changed) != before).any(1)[0]
        for i, j in torch.cartesian_prod(*(torch.arange(side) for side in moved.shape)).tolist():
            holds = 0 <= row - i * stride < crop_size and 0 <= column - j * stride < crop_size
            assert bool(moved[i, j]) == holds, f"pixel {row, column} and location {i, j}"


def check_split_batch(single: dict[str, Tensor], ranks: Sequence[dict[str, Tensor]]) -> None:
    """Every process has the loss and estimate of the whole batch; averaged gradients are those of one process.

    Gradients of parameters come averaged over processes, as DistributedDataParallel leaves them. Those of features are
    each process's own, as many times too large as there are processes, which the average undoes further down.
    """
    for found in ranks:
        assert found.keys() == single.keys()
        for name in single.keys() - {"local", "global_"}:
            assert_close(found[name], single[name], 1e-10, name)
    features = [name for name in ("local", "global_") if name in single]
    assert features
    for name in features:  # globals that an estimator takes as constants have none
        whole = torch.cat([found[name] for found in ranks]) / len(ranks)
        assert_close(whole, single[name], 1e-10, f"gradient of {name}")
