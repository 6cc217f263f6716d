"""How a batch is spread over processes, and which pairs its rows form across processes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from infomax._precision import autocasting
from infomax.pairs.checks import check_groups_left
from infomax.pairs.codes import check_agree, codes_of
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes, check_none_failed

__all__ = ["Shares", "exchange_shares", "gather_pairing", "row_index"]

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)  # of features
_NO_EXAMPLE, _NO_EXAMPLE_OR_GROUP = -1, -2  # in place of the example of a given negative


class Shares(NamedTuple):
    """How the batch is spread over the processes, in the order of ranks."""

    examples: list[int]
    """Number of examples of each process."""
    joint_keys: list[int]
    """Number of local rows of each process that form joint pairs."""
    keys: list[int]
    """Number of all local rows of each process."""
    globals_: int
    """Number Q of globals per example, the same on every process that has an example."""
    locations: int | None
    """P if every example of every process has all its P locations and there are no other local rows, else None."""
    grouped: bool
    """Whether there are groups of the user's; if not, each example is a group."""
    dtypes: tuple[torch.dtype, torch.dtype]
    """The dtypes of local and global rows on all processes."""
    learns: bool
    """Whether the scores of any process may require a gradient."""


def exchange_shares(
    pairing: Pairing | None,
    error: Exception | None,
    processes: Processes,
    device: torch.device,
    *,
    settings: Mapping[str, str],
    dtypes: tuple[torch.dtype, torch.dtype],
    learns: bool,
) -> Shares:
    """Tell the other processes, in one collective, how many rows this process has, or that it has failed.

    If one process has failed, all raise, so that none is left waiting. The failed process raises its own ``error``.

    Args:
        pairing: the pairing of the rows of this process; None after an error.
        error: the error of this process, or None.
        processes: the processes that share their rows.
        device: the device on which the process group exchanges tensors.
        settings: by name, what must be the same on every process; empty after an error.
        dtypes: the dtypes of the local and global rows of this process.
        learns: whether the scores of this process may require a gradient.

    Raises:
        RuntimeError: another process raised an error.
        ValueError: the processes disagree on settings, on the number of globals per example, on whether there are
            groups, or on whether gradients are on; or they hold fewer than two examples together.
    """
    off = not torch.is_grad_enabled()
    ours = [-1, 0, 0, 0, 0, 0, 0]
    if pairing is not None:
        locations = pairing.locations if pairing.uniform else None
        beside = pairing.groups > pairing.examples  # given negatives have a group of their own
        grouped = pairing.names is not None
        rows = pairing.joint_keys, len(pairing.key_group)
        ours = [pairing.examples, pairing.globals_, *rows, locations or 0, beside, grouped]
    message = [*ours, off, learns, *map(_DTYPES.index, dtypes), *codes_of(settings)]
    everybody = processes.numbers("the features of a loss", message, device)
    if error is not None:
        raise error
    examples, globals_, joint_keys, keys, complete, beside_any, with_groups, without, learning, *of_dtypes = (
        list(column) for column in zip(*(numbers[: len(ours) + 4] for numbers in everybody), strict=True)
    )
    check_none_failed([rank for rank, count in enumerate(examples) if count < 0], "the features")
    check_agree(settings, [numbers[len(ours) + 4 :] for numbers in everybody], processes.rank)
    if any(without) and any(learning):
        ranks = ", ".join(str(rank) for rank, is_off in enumerate(without) if is_off)
        raise ValueError(
            f"gradients must be on in every process or in none with gather=True, got rank {ranks} without: the others' "
            "backward pass would wait for it; call the loss under torch.no_grad() on all processes or on none"
        )
    holds_rows = [bool(present or rows) for present, rows in zip(examples, keys, strict=True)]
    of_local, of_global = (
        _common(name, [_DTYPES[code] for code in of_side], holds_rows, device)
        for name, of_side in zip(("local", "global_"), of_dtypes, strict=True)
    )
    globals_ = [count if present else 0 for count, present in zip(globals_, examples, strict=True)]
    if len({count for count in globals_ if count}) > 1:
        raise ValueError(f"global_ must have the same number of locations on every process, got {globals_}")
    # A process without an example may hold given negatives, with or without groups.
    held = zip(with_groups, examples, keys, strict=True)
    grouped_any = {bool(grouped) for grouped, present, rows in held if present or (rows and grouped)}
    if len(grouped_any) > 1:
        ranks = ", ".join(str(rank) for rank, grouped in enumerate(with_groups) if examples[rank] and not grouped)
        raise ValueError(f"group must be given on every process or on none, got none on rank {ranks}")
    if sum(examples) < 2 and not any(beside_any):
        raise ValueError(
            f"local must hold at least 2 examples over all processes, got {sum(examples)}: an InfoMax objective needs "
            "other examples as negatives"
        )
    found = {count for count, present in zip(complete, examples, strict=True) if present}
    q = max(globals_)
    # A process without an example may hold given negatives, so that ``complete`` alone does not show them.
    p = (found.pop() or None) if len(found) == 1 and keys == joint_keys else None
    return Shares(examples, joint_keys, keys, q, p, True in grouped_any, (of_local, of_global), any(learning))


def _common(name: str, dtypes: list[torch.dtype], holds_rows: list[bool], device: torch.device) -> torch.dtype:
    """Return the dtype that the features of all processes are converted to; those of an empty process do not matter.

    Raises:
        ValueError: the dtypes differ where autocast is off.
    """
    given = [dtype for dtype, holds in zip(dtypes, holds_rows, strict=True) if holds] or dtypes
    if len(set(given)) > 1 and not (autocasting(device.type) and torch.float64 not in given):
        got = ", ".join(str(dtype) for dtype in dtypes)
        raise ValueError(f"{name} must have the same dtype on every process, got {got} in the order of ranks")
    common: torch.dtype = reduce(torch.promote_types, given)
    return common


def row_index(pairing: Pairing, shares: Shares, processes: Processes) -> Tensor | None:
    """Return what the other processes must know of each local row of this process.

    Returns:
        (K, 2), int64: the example of each local row, counted over all processes, or a negative number for a row that
        forms no joint pair; and the row's group: the user's integer, or the example where each example is a group. None
        where the sizes in ``shares`` determine all pairs.
    """
    if shares.locations is not None:
        return None
    offset = sum(shares.examples[: processes.rank])
    names = offset + torch.arange(pairing.examples) if pairing.names is None else pairing.names
    names = torch.cat([names.to(pairing.key_group), pairing.key_group.new_zeros(1)])  # the last is of no group
    example = torch.where(pairing.key_group < len(names) - 1, _NO_EXAMPLE, _NO_EXAMPLE_OR_GROUP)
    joint = slice(pairing.first, pairing.first + pairing.joint_keys)
    example[joint] = pairing.key_example + offset
    # Given negatives without a group have the largest number, which may exceed the number of the user's groups.
    return torch.stack([example, names[pairing.key_group.clamp(max=len(names) - 1)]], 1)


def gather_pairing(
    pairing: Pairing, shares: Shares, processes: Processes, index: Tensor | None
) -> tuple[Pairing, Pairing]:
    """Extend the marginal rows of a pairing to the local rows of all processes.

    Args:
        pairing: the pairing of the rows of this process.
        shares: the result of :func:`exchange_shares`.
        processes: the processes that share their rows.
        index: the :func:`row_index` of the rows of all processes, in the order of ranks, or None as there.

    Returns:
        The pairing of this process's globals with the local rows of all processes, and the pairing of the globals of
        all processes with these rows.

    Raises:
        ValueError: an example has no negative of another group.
    """
    rank, q, total = processes.rank, shares.globals_, sum(shares.examples)
    offset = sum(shares.examples[:rank])
    if index is None:
        locations = shares.locations or 0  # it is not None here
        group = torch.arange(total, device=pairing.key_group.device).repeat_interleave(locations)
        whole = Pairing(total, q, group, locations=locations)
        groups, query_group, marginal = total, pairing.query_group + offset, None
    else:
        example, group = index.unbind(1)
        alone = example == _NO_EXAMPLE_OR_GROUP
        joint, beside = (example >= 0).nonzero().squeeze(1), (example < 0).nonzero().squeeze(1)
        groups = total
        if shares.grouped:
            names, group = torch.unique(group, return_inverse=True)
            groups = len(names)
        # The given negatives without a group of the user's are one more group.
        groups, group, example = groups + 1, group.masked_fill(alone, groups), example[joint]
        own = example.new_zeros(total).index_put((example,), group[joint])
        marginal = None if pairing.marginal_rows is None else beside  # the given negatives, with in_batch=False
        if shares.grouped:
            check_groups_left(own, group if marginal is None else group[marginal], "the rows of all processes")
        query_group = own[offset : offset + pairing.examples].repeat_interleave(q)
        whole = Pairing(
            total,
            q,
            example,
            key_group=group,
            query_group=own.repeat_interleave(q),
            marginal_rows=marginal,
            groups=groups,
        )
    ours = Pairing(
        pairing.examples,
        q,
        pairing.key_example,
        locations=pairing.locations,
        first=sum(shares.keys[:rank]),
        key_group=group,
        query_group=query_group,
        marginal_rows=marginal,
        groups=groups,
    )
    return ours, whole
