"""Rows of other processes, with gradients.

Each process scores its own globals against the locals of all processes. Every process then computes the loss of the
whole batch, so gradients are summed over processes on the way back; averaged, as DistributedDataParallel does, they
are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from infomax.pairs.pairing import Pairing
from infomax.pairs.rows import Rows

__all__ = ["Shares", "all_gather_rows", "gather_equal", "gather_pairing", "pair_everywhere", "several_processes"]


def several_processes() -> bool:
    """Whether there is a process group of more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _AllGather(torch.autograd.Function):
    """Rows of all processes, in the order of ranks; backward sums each one's gradients over the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        longest = max(sizes)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: rows.shape[0]] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.clone(memory_format=torch.contiguous_format)  # it may serve elsewhere in the graph as it is
        dist.all_reduce(grad)
        return torch.split(grad, ctx.sizes)[dist.get_rank()], None


def all_gather_rows(rows: Tensor, sizes: list[int]) -> Tensor:
    """Concatenate the rows of all processes in the order of ranks; differentiable.

    Args:
        rows: (n, \\*rest), the same rest everywhere.
        sizes: how many rows each process has.
    """
    gathered: Tensor = _AllGather.apply(rows, sizes)
    return gathered


def gather_equal(values: Tensor) -> Tensor:
    """Stack a vector (n,) of every process, of the same length everywhere, to (processes, n); differentiable."""
    return all_gather_rows(values[None], [1] * dist.get_world_size())


class Shares(NamedTuple):
    """How the batch is spread over the processes, in the order of ranks."""

    examples: list[int]
    """Examples of each process."""
    joint_keys: list[int]
    """Local rows of each process that form joint pairs."""
    keys: list[int]
    """All local rows of each process."""
    globals_: int
    """Q, the same on every process that has an example."""
    locations: int | None
    """P if every example of every process has all its locations and nothing else is there, else None."""


def pair_everywhere(pair: Callable[[], Rows], device: torch.device) -> tuple[Rows, Shares]:
    """Pair the features of this process, and learn how many rows the others have; one collective.

    A process whose features are wrong tells the others, so that all of them raise and none is left waiting.

    Args:
        pair: pairs the features of this process, or raises.
        device: where the process group exchanges tensors.

    Raises:
        RuntimeError: another process raised an error.
        ValueError: the processes disagree on the globals per example, or hold fewer than two examples together.
    """
    error: Exception | None = None
    ours = [-1, 0, 0, 0, 0, 0]
    try:
        rows = pair()
    except Exception as raised:  # noqa: BLE001 (it is raised below, after the others know)
        error = raised
    else:
        pairing = rows.pairing
        locations = pairing.locations if pairing.uniform else None
        beside = pairing.groups > pairing.examples  # given negatives have a group of their own
        ours = [pairing.examples, pairing.globals_, pairing.joint_keys, len(pairing.key_group), locations or 0, beside]
    shape = torch.tensor(ours, device=device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    everybody: list[list[int]] = torch.stack(shapes).tolist()
    if error is not None:
        raise error
    examples, globals_, joint_keys, keys, complete, beside_any = (
        list(column) for column in zip(*everybody, strict=True)
    )
    failed = [str(rank) for rank, count in enumerate(examples) if count < 0]
    if failed:
        raise RuntimeError(
            f"gather=True needs the features of every process, and rank {', '.join(failed)} raised an error; its "
            "message is in the log of that process"
        )
    globals_ = [count if present else 0 for count, present in zip(globals_, examples, strict=True)]
    if len({count for count in globals_ if count}) > 1:
        raise ValueError(f"global_ must have the same number of locations on every process, got {globals_}")
    if sum(examples) < 2 and not any(beside_any):
        raise ValueError(
            f"local must hold at least 2 examples over all processes, got {sum(examples)}: an InfoMax objective needs "
            "other examples as negatives"
        )
    found = {count for count, present in zip(complete, examples, strict=True) if present}
    q = max(globals_)
    return rows, Shares(examples, joint_keys, keys, q, (found.pop() or None) if len(found) == 1 else None)


def gather_pairing(pairing: Pairing, shares: Shares) -> tuple[Pairing, Pairing]:
    """Extend the marginal rows of a pairing to the local rows of all processes.

    Args:
        pairing: of the rows of this process.
        shares: what :func:`pair_everywhere` returned.

    Returns:
        The pairing of our globals with all rows, and that of all globals with all rows.
    """
    rank, q = dist.get_rank(), shares.globals_
    offset, total = sum(shares.examples[:rank]), sum(shares.examples)
    if shares.locations is not None:
        example = torch.arange(total, device=pairing.key_group.device).repeat_interleave(shares.locations)
        whole = Pairing(total, q, example, locations=shares.locations)
        group, marginal = example, None
    else:
        # Given negatives have the group after the last example's. With in_batch=False they alone are marginal.
        group = all_gather_rows(
            torch.where(pairing.key_group < pairing.examples, pairing.key_group + offset, total), shares.keys
        )
        marginal = None if pairing.marginal_rows is None else (group == total).nonzero().squeeze(1)
        parts = torch.split(group, shares.keys)
        example = torch.cat([part[:joint] for part, joint in zip(parts, shares.joint_keys, strict=True)])
        whole = Pairing(total, q, example, key_group=group, marginal_rows=marginal, groups=total + 1)
    ours = Pairing(
        pairing.examples,
        q,
        pairing.key_example,
        locations=pairing.locations,
        first=sum(shares.keys[:rank]),
        key_group=group,
        query_group=pairing.query_group + offset,
        marginal_rows=marginal,
        groups=total + 1,
    )
    return ours, whole
