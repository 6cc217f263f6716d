"""Batch norm over rows, optionally with the statistics of the rows of all processes; and rows of unit length."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf
from torch.nn.modules.batchnorm import _BatchNorm

from infomax._compiling import uncompiled
from infomax._precision import widened
from infomax._transforms import transformed
from infomax.pairs.processes import Processes

__all__ = ["BatchNorm", "check_gathers", "check_rows_of_all", "unit_length"]

_SMALLEST_NORM = {torch.float16: 1e-3}  # the gradient is multiplied by the inverse, and must stay below 65504


def unit_length(rows: Tensor) -> Tensor:
    """Divide rows (K, u) by their length, or by 1e-6 (float16: 1e-3) if they are shorter, so that 0 stays 0."""
    return nnf.normalize(widened(rows), dim=-1, eps=_SMALLEST_NORM.get(rows.dtype, 1e-6)).to(rows.dtype)


class BatchNorm(nn.BatchNorm1d):
    """A `torch.nn.BatchNorm1d` on rows that, with ``processes`` set, uses the statistics of the rows of all processes.

    `torch.nn.SyncBatchNorm` does the same, but only on accelerators.

    Args:
        num_features: channels of a row. The options of `torch.nn.BatchNorm1d` are accepted as well.

    Shapes:
        (K, num_features) to (K, num_features).

    Example:
        >>> import torch
        >>> from infomax.critics import BatchNorm
        >>> rows = BatchNorm(8)(3 + torch.randn(100, 8))
        >>> bool(rows.mean(0).abs().max() < 1e-5)
        True
    """

    processes: Processes | None = None

    def forward(self, rows: Tensor) -> Tensor:
        if self.processes is None or not (self.training and self.processes.several):
            if self.training:
                _check_two(rows)
                if self.track_running_stats and transformed():
                    raise NotImplementedError(
                        "batch norm in training mode updates running statistics, which is impossible under torch.func "
                        "(grad, jvp, vmap, ...); call .eval() on the loss, or use critic='bilinear' or 'cosine'"
                    )
            return super().forward(rows)
        return self._together(rows, self.processes)

    @uncompiled
    def _together(self, rows: Tensor, processes: Processes) -> Tensor:
        """Normalise by the statistics of the rows of all processes."""
        wide = widened(rows)
        ours = wide.mean(0) if len(wide) else wide.sum(0)
        spread = (wide - ours).square().sum(0)
        everybody, new = processes.gather_statistics(torch.cat([wide.new_full((1,), len(wide)), ours, spread]))
        count, means, spreads = everybody[:, :1], *everybody[:, 1:].chunk(2, 1)
        total = count.sum()
        # `total == 1` reads from the device, so it is evaluated only where this process has fewer than two rows. Within
        # the call of a loss, the error is raised later, when the errors of all processes are known.
        if len(rows) < 2 and not torch.compiler.is_compiling() and total == 1:
            if not processes.calling:
                raise ValueError(_too_few(" over all processes"))
            processes.single_row = True
        mean = (count * means).sum(0) / total.clamp_min(1)
        variance = (spreads + count * (means - mean).square()).sum(0) / total.clamp_min(1)
        if self.track_running_stats and new:
            self._record(mean.detach(), variance.detach(), total)
        normalised = (wide - mean) * (variance + self.eps).rsqrt()
        if self.affine:
            normalised = normalised * self.weight + self.bias
        return normalised.to(rows.dtype)

    @torch.no_grad()
    def _record(self, mean: Tensor, variance: Tensor, total: Tensor) -> None:
        """Update the running statistics, unless there is at most one row in all: then every process raises an error."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        enough = total > 1
        self.num_batches_tracked.add_(enough)
        rate = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.clamp_min(1)
        unbiased = variance * total / (total - 1).clamp_min(1)
        for running, found in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.copy_(torch.where(enough, running.lerp(found.to(running.dtype), rate), running))


def check_gathers(norms: Iterable[_BatchNorm], else_: str = "") -> None:
    """Raise ``ValueError`` if a batch norm cannot use the rows of other processes.

    Args:
        norms: batch norms of a critic.
        else_: what else the user may do, for the end of the message.
    """
    for norm in norms:
        if not isinstance(norm, BatchNorm | nn.SyncBatchNorm):  # torch itself synchronises the second on accelerators
            raise ValueError(  # noqa: TRY004 (the type of the critic is right)
                f"critic must not hold {type(norm).__name__} with gather=True, because its statistics are those of one "
                f"process; use infomax.critics.BatchNorm, torch.nn.SyncBatchNorm or a layer norm{else_}"
            )


def check_rows_of_all(processes: Processes) -> None:
    """Raise ``ValueError``, on every process, if a batch norm in the current call had one row over all processes."""
    if processes.single_row:
        raise ValueError(_too_few(" over all processes"))


def _too_few(where: str = "") -> str:
    return (
        f"batch norm in training mode needs at least 2 rows{where}, got 1; use critic='bilinear' or 'cosine', or "
        ".eval() the critic"
    )


def _check_two(rows: Tensor) -> None:
    if torch.compiler.is_compiling():  # checked at run time, as a mask may set the size; torch 2.6 takes no message
        torch._check(len(rows) > 1)  # noqa: SLF001
    elif len(rows) == 1:
        raise ValueError(_too_few())
