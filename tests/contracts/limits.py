"""Checks of limits: the largest tensor of a call, the pixels that a crop sees, a batch split over processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tolerances import assert_close
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """A dispatch mode that records the largest tensor returned by any operation."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0
        self.where = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            # A tensor with a stride of zero is an expanded view, which stores fewer numbers than it has elements.
            if isinstance(tensor, Tensor) and 0 not in tensor.stride() and tensor.numel() > self.numel:
                self.numel, self.where = tensor.numel(), str(func)
        return result


def check_no_table_larger_than(limit: int, compute: Callable[[], Tensor]) -> None:
    """Check that no operation of forward or backward makes a tensor of more than ``limit`` numbers."""
    with LargestTensor() as largest:
        compute().backward()
    assert largest.numel > 0
    assert largest.numel <= limit, f"{largest.where} makes {largest.numel} numbers, more than {limit}"


def check_crops_are_alone(
    encode: Callable[[Tensor], Tensor], images: Tensor, crop_size: int, stride: int, pixels: list[tuple[int, int]]
) -> None:
    """Check that changing a pixel changes exactly the locations whose crop contains that pixel."""
    before = encode(images)
    for row, column in pixels:
        changed = images.clone()
        changed[:, :, row, column] += 3.0
        moved = (encode(changed) != before).any(1)[0]
        for i, j in torch.cartesian_prod(*(torch.arange(side) for side in moved.shape)).tolist():
            holds = 0 <= row - i * stride < crop_size and 0 <= column - j * stride < crop_size
            assert bool(moved[i, j]) == holds, f"pixel {row, column} and location {i, j}"


def check_split_batch(single: dict[str, Tensor], ranks: Sequence[dict[str, Tensor]]) -> None:
    """Check that every process has the loss, estimate and parameter gradients of a single process with the whole batch.

    The gradients of parameters are given as averages over processes, as DistributedDataParallel leaves them. The
    gradients of features cover each process's own examples and are larger by a factor of the number of processes. The
    average of the parameter gradients removes this factor.
    """
    for found in ranks:
        assert found.keys() == single.keys()
        for name in single.keys() - {"local", "global_"}:
            assert_close(found[name], single[name], 1e-10, name)
    features = [name for name in ("local", "global_") if name in single]
    assert features
    for name in features:  # a global that the estimator treats as a constant has no gradient
        whole = torch.cat([found[name] for found in ranks]) / len(ranks)
        assert_close(whole, single[name], 1e-10, f"gradient of {name}")
