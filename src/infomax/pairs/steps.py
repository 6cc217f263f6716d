"""Joint pairs of features that are a given number of steps apart in time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax._checks import (
    check_floating,
    check_holds_values,
    check_integers,
    check_positive,
    check_same_device,
    shape_of,
)
from infomax.pairs.checks import check_mask_dtype, check_mask_shape

__all__ = ["Ahead", "ahead"]


class Ahead(NamedTuple):
    """Matched examples for any loss: features at time t, and the features ``steps`` later that they predict.

    Example:
        >>> import torch
        >>> from infomax.pairs import ahead
        >>> steps = torch.randn(3, 8, 10)  # three sequences of ten steps
        >>> pairs = ahead(steps, steps, steps=2)
        >>> pairs.local.shape, pairs.rest.shape, pairs.group.unique()
        (torch.Size([24, 8]), torch.Size([6, 8]), tensor([0, 1, 2]))
    """

    local: Tensor
    """(J, c, \\*spatial): features at t + steps of every pair, sequence by sequence, in order of time."""
    global_: Tensor
    """(J, d, \\*spatial): features at t of the same sequence."""
    group: Tensor
    """(J,): the sequence of each pair; passed as ``group=``, it leaves out negatives from the same sequence."""
    rest: Tensor
    """(R, c, \\*spatial): features at the real steps that no pair predicts, such as the first of every sequence. Passed
    as ``negatives=``, they extend the negatives to all other steps."""
    rest_group: Tensor
    """(R,): the sequence of each row of ``rest``."""


def ahead(
    local: Tensor, global_: Tensor, *, steps: int, mask: Tensor | None = None, batch: Tensor | None = None
) -> Ahead:
    r"""Pair the features at time t + k with those at time t of the same sequence.

    .. math:: \{ (z_{n, t + k}, \; c_{n, t}) : t \text{ and } t + k \text{ are real steps of sequence } n \}

    Each pair becomes an example of its own, so any loss accepts the pairs: for CPC an :class:`~infomax.InfoMaxLoss` per
    k, for ST-DIM a :class:`~infomax.LocalDIMLoss` on the locations of the next frame. The negatives of a pair are then
    the locals of all other pairs, from its own sequence and from others. A sequence of k steps or fewer has no pair.

    Args:
        local: the features to predict, (N, c, T, \*spatial), with time as the first axis after the channels; or, with
            ``batch``, steps as rows, (K, c, \*spatial).
        global_: the features that predict, (N, d, T, \*spatial), or (K, d, \*spatial) with ``batch``. They may be
            ``local`` itself.
        steps: number k of steps between the features of a pair, at least 1.
        mask: bool, (N, T), True at a real step. A pair needs two real steps; masked steps still count in t.
        batch: integers, (K,), the sequence of each row. The rows of one sequence must be in order of time; rows of
            different sequences may interleave, as in a packed sequence.

    Returns:
        The J pairs, as :class:`Ahead`.

    Raises:
        TypeError: features are not floating, the mask is not bool, the index is not integer, or ``steps`` is not an
            integer.
        ValueError: shapes, lengths or devices do not fit, or there is no pair.

    Source:
        van den Oord et al. 2018 (CPC), section 2.2; Anand et al. 2019 (ST-DIM), section 3.

    Example:
        >>> import torch
        >>> from infomax import InfoMaxLoss
        >>> from infomax.pairs import ahead
        >>> z, c = torch.randn(4, 16, 10), torch.randn(4, 32, 10)  # ten steps, and a context at each step
        >>> pairs = ahead(z, c, steps=3)
        >>> pairs.local.shape, pairs.global_.shape
        (torch.Size([28, 16]), torch.Size([28, 32]))
        >>> loss_fn = InfoMaxLoss(16, 32, critic="bilinear", symmetric=False)
        >>> anywhere = loss_fn(pairs.local, pairs.global_)
        >>> elsewhere = loss_fn(pairs.local, pairs.global_, group=pairs.group)
    """
    steps = check_positive("steps", steps)
    sides = {"local": local, "global_": global_}
    for name, side in sides.items():
        if check_floating(name, side).ndim < (3 if batch is None else 2):
            layout = "(N, channels, T, *spatial)" if batch is None else "(K, channels, *spatial) with batch="
            hint = "; steps as rows come with batch=index" if batch is None and side.ndim == 2 else ""
            raise ValueError(f"{name} must have shape {layout}, got {shape_of(side)}{hint}")
    given = {**sides, "mask": mask, "batch": batch}
    check_holds_values(**{name: value for name, value in given.items() if isinstance(value, Tensor)})
    if batch is None:
        here, there, rest, group = _of_padded(local, global_, steps, mask)
    else:
        here, there, rest, group = _of_ragged(local, global_, steps, mask, batch)
    if not len(here) and mask is not None:
        raise ValueError(
            f"mask must leave two real steps that are {steps} apart in at least one sequence, got {int(mask.sum())} "
            f"real steps in a mask {shape_of(mask)}: there is no joint pair"
        )
    if not len(here):
        raise ValueError(
            f"steps must be less than the length of the longest sequence, got {steps} for sequences of at most {steps} "
            "steps: there is no joint pair"
        )

    def take(features: Tensor, rows: Tensor) -> Tensor:
        if batch is not None:
            return features[rows]
        return features.movedim(2, 1)[rows // features.shape[2], rows % features.shape[2]]

    return Ahead(take(local, there), take(global_, here), group[here], take(local, rest), group[rest])


def _of_padded(local: Tensor, global_: Tensor, steps: int, mask: Tensor | None) -> tuple[Tensor, ...]:
    """Return the rows at t, those at t + steps, those that no pair predicts (all of N * T), and each row's sequence."""
    n, length = local.shape[0], local.shape[2]
    if global_.shape[0] != n or global_.shape[2] != length:
        raise ValueError(
            "local and global_ must hold the same sequences and steps, got "
            f"{shape_of(local)} and {shape_of(global_)} of (N, channels, T, *spatial)"
        )
    if mask is None:
        real = torch.ones(n, length, dtype=torch.bool, device=local.device)
    else:
        check_mask_dtype(mask)
        check_mask_shape("the steps of local", local, mask, (n, length))
        real = mask
    check_same_device(local=local, global_=global_, mask=mask)
    place = torch.arange(n * length, device=local.device).view(n, length)
    both = real[:, :-steps] & real[:, steps:]
    first = real.clone()
    first[:, steps:] &= ~both
    return place[:, :-steps][both], place[:, steps:][both], place[first], place.flatten() // max(length, 1)


def _of_ragged(
    local: Tensor, global_: Tensor, steps: int, mask: Tensor | None, batch: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the same as :func:`_of_padded`, for ragged rows."""
    batch = check_integers("batch", batch)
    if mask is not None:
        raise ValueError("mask and batch must not be given together: rows of a ragged batch are all real")
    if tuple(batch.shape) != (len(local),) or len(global_) != len(local):
        raise ValueError(
            "batch must name the sequence of each row of local and global_, "
            f"got {shape_of(batch)} for {shape_of(local)} and {shape_of(global_)}"
        )
    check_same_device(local=local, global_=global_, batch=batch)
    order = batch.argsort(stable=True)  # sequence by sequence, each in order of time
    sequence = batch[order]
    both = sequence[:-steps] == sequence[steps:]
    first = torch.ones_like(sequence, dtype=torch.bool)
    first[steps:] = ~both
    return order[:-steps][both], order[steps:][both], order[first], batch
