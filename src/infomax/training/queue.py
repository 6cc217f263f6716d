"""A queue of features of past batches, for use as negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infomax._checks import check_floating, check_holds_values, check_positive, shape_of
from infomax._precision import check_device, check_dtype

__all__ = ["FeatureQueue"]


class FeatureQueue(nn.Module):
    r"""A queue of the newest ``size`` rows that were pushed, without gradient, as negatives beyond the batch.

    Pass the rows to a loss as ``negatives=queue()``. They come from the encoder of earlier steps, and the older they
    are, the more they differ from features of the current encoder. So fill the queue with features of a slowly moving
    copy of the encoder, such as the one that `torch.optim.swa_utils.AveragedModel` keeps, or use a short queue.

    Keep the queue outside of a module that `DistributedDataParallel` wraps, or pass ``broadcast_buffers=False``. The
    rows are buffers, and each forward pass would replace them with those of the first process.

    Args:
        dim: channels of a row.
        size: largest number of rows that the queue holds.
        device: device of the rows.
        dtype: dtype of the rows.

    Shapes:
        - push: (n, dim), or (n, dim, \*spatial), whose locations become rows
        - result: (L, dim), L at most ``size``, in no particular order; (0, dim) before the first push

    Raises:
        TypeError: ``dim`` or ``size`` is not an integer, or rows are not floating.
        ValueError: ``dim`` or ``size`` is below 1, or rows do not have ``dim`` channels.

    Source:
        He et al. 2020 (MoCo), section 3.2.

    Example:
        >>> import torch
        >>> from infomax import InfoMaxLoss
        >>> from infomax.training import FeatureQueue
        >>> queue, loss_fn = FeatureQueue(dim=16, size=100), InfoMaxLoss(16, 16, symmetric=False)
        >>> for _ in range(3):
        ...     key, query = torch.randn(8, 16), torch.randn(8, 16)
        ...     loss = loss_fn(key, query, negatives=queue() if len(queue) else None)
        ...     queue.push(key)
        >>> queue().shape
        torch.Size([24, 16])
    """

    rows: Tensor
    pushed: Tensor

    def __init__(
        self, dim: int, size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.dim, self.size = check_positive("dim", dim), check_positive("size", size)
        check_dtype(dtype)
        device = None if device is None else check_device(device)
        self.register_buffer("rows", torch.zeros(self.size, self.dim, device=device, dtype=dtype))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64, device="cpu"))

    def reset_parameters(self) -> None:
        """Empty the queue; needed after ``to_empty``, which leaves arbitrary values in the buffers."""
        self.rows.zero_()
        self.pushed.zero_()

    def __len__(self) -> int:
        """Return the number of rows in the queue."""
        return min(int(self.pushed), self.size)

    def __bool__(self) -> bool:
        """Return True, so that an empty queue does not read as a missing one."""
        return True

    @torch.no_grad()
    def push(self, features: Tensor) -> None:
        """Add rows; in a full queue they replace the oldest rows."""
        check_floating("features", features)
        if features.ndim < 2 or features.shape[1] != self.dim:
            raise ValueError(
                f"features must have shape (n, {self.dim}) or (n, {self.dim}, *spatial), got {shape_of(features)}"
            )
        if not self.rows.is_meta:
            check_holds_values(features=features)
        rows = features.detach().movedim(1, -1).reshape(-1, self.dim)[-self.size :]
        skipped = features.numel() // self.dim - len(rows)
        start = int(self.pushed) + skipped
        places = torch.arange(start, start + len(rows), device=self.rows.device) % self.size
        self.rows[places] = rows.to(self.rows)
        self.pushed += skipped + len(rows)

    def forward(self) -> Tensor:
        """Return a copy of the rows, (L, dim), which later pushes do not change."""
        return self.rows[: len(self)].clone()

    def extra_repr(self) -> str:
        return f"dim={self.dim}, size={self.size}"
