"""How a batch is spread over processes, and which pairs its rows form across processes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax.pairs.checks import check_groups_left
from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes

__all__ = ["Shares", "exchange_shares", "gather_pairing"]


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
    named: list[int] | None
    """Number of the user's groups on each process; None where a group is an example."""
    learns: tuple[tuple[bool, bool], ...]
    """For each direction, whether the global and whether the local rows of any process require a gradient."""


def exchange_shares(
    pairing: Pairing | None,
    error: Exception | None,
    processes: Processes,
    device: torch.device,
    *,
    learns: tuple[tuple[bool, bool], tuple[bool, bool]] = ((False, False), (False, False)),
) -> Shares:
    """Tell the other processes, in one collective, how many rows this process has, or that it has failed.

    If one process has failed, all raise, so that none is left waiting. The failed process raises its own ``error``.

    Args:
        pairing: the pairing of the rows of this process; None after an error.
        error: the error of this process, or None.
        processes: the processes that share their rows.
        device: the device on which the process group exchanges tensors.
        learns: for each direction of scores, whether the global and whether the local rows of this process require a
            gradient.

    Raises:
        RuntimeError: another process raised an error.
        ValueError: the processes disagree on the number of globals per example, on whether there are groups, or on
            whether gradients are on; or they hold fewer than two examples together.
    """
    flags = [flag for direction in learns for flag in direction]
    off = not torch.is_grad_enabled()
    ours = [-1, 0, 0, 0, 0, 0, 0, off, *flags]
    if pairing is not None:
        locations = pairing.locations if pairing.uniform else None
        beside = pairing.groups > pairing.examples  # given negatives have a group of their own
        names = -1 if pairing.names is None else len(pairing.names)
        rows = pairing.joint_keys, len(pairing.key_group)
        ours = [pairing.examples, pairing.globals_, *rows, locations or 0, beside, names, off, *flags]
    everybody = processes.numbers(ours, device)
    if error is not None:
        raise error
    examples, globals_, joint_keys, keys, complete, beside_any, named, without, *learning = (
        list(column) for column in zip(*everybody, strict=True)
    )
    failed = [str(rank) for rank, count in enumerate(examples) if count < 0]
    if failed:
        raise RuntimeError(
            f"gather=True needs the features of every process, and rank {', '.join(failed)} raised an error; its "
            "message is in the log of that process"
        )
    if any(without) and any(map(any, learning)):
        ranks = ", ".join(str(rank) for rank, is_off in enumerate(without) if is_off)
        raise ValueError(
            f"gradients must be on in every process or in none with gather=True, got rank {ranks} without: the others' "
            "backward pass would wait for it; call the loss under torch.no_grad() on all processes or on none"
        )
    globals_ = [count if present else 0 for count, present in zip(globals_, examples, strict=True)]
    if len({count for count in globals_ if count}) > 1:
        raise ValueError(f"global_ must have the same number of locations on every process, got {globals_}")
    with_group = {count >= 0 for count, present in zip(named, examples, strict=True) if present}
    if len(with_group) > 1:
        ranks = ", ".join(str(rank) for rank, count in enumerate(named) if count < 0 and examples[rank])
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
    known = [max(count, 0) for count in named] if True in with_group else None
    of_any = [any(column) for column in learning]
    return Shares(examples, joint_keys, keys, q, p, known, tuple(zip(of_any[0::2], of_any[1::2], strict=True)))


def gather_pairing(pairing: Pairing, shares: Shares, processes: Processes) -> tuple[Pairing, Pairing]:
    """Extend the marginal rows of a pairing to the local rows of all processes.

    Args:
        pairing: the pairing of the rows of this process.
        shares: the result of :func:`exchange_shares`.
        processes: the processes that share their rows.

    Returns:
        The pairing of this process's globals with the local rows of all processes, and the pairing of the globals of
        all processes with these rows.

    Raises:
        ValueError: an example has no negative of another group.
    """
    rank, q, total = processes.rank, shares.globals_, sum(shares.examples)
    offset = sum(shares.examples[:rank])
    if shares.locations is not None:
        example = torch.arange(total, device=pairing.key_group.device).repeat_interleave(shares.locations)
        whole = Pairing(total, q, example, locations=shares.locations)
        groups, group, query_group, marginal = total, example, pairing.query_group + offset, None
    else:
        ids, groups = _groups(pairing, shares, processes)
        joint, beside = _places(shares, pairing.key_group.device)
        group, example = ids[pairing.key_group], pairing.key_example + offset
        if shares.named is None:  # each example is a group, and the given negatives are one more
            group = processes.gather_rows(group, shares.keys)
            example = group[joint]
        else:
            group, example = (
                processes.gather_rows(group, shares.keys),
                processes.gather_rows(example, shares.joint_keys),
            )
        own = example.new_zeros(total).index_put((example,), group[joint])
        marginal = None if pairing.marginal_rows is None else beside  # the given negatives, with in_batch=False
        if shares.named is not None:
            check_groups_left(own, group if marginal is None else group[marginal], "the rows of all processes")
        query_group = ids[pairing.query_group]
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


def _groups(pairing: Pairing, shares: Shares, processes: Processes) -> tuple[Tensor, int]:
    """Return the global number of each group of this process, and the number of all groups.

    Given negatives without a group of the user's share the last group.
    """
    if shares.named is None:
        ids, total = torch.arange(pairing.examples) + sum(shares.examples[: processes.rank]), sum(shares.examples)
    else:
        names = pairing.query_group.new_zeros(0) if pairing.names is None else pairing.names
        found, places = torch.unique(processes.gather_rows(names, shares.named), return_inverse=True)
        ids, total = torch.split(places, shares.named)[processes.rank], len(found)
    return torch.cat([ids.to(pairing.key_group.device), pairing.key_group.new_full((1,), total)]), total + 1


def _places(shares: Shares, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the indices, among the rows of all processes, of those that form joint pairs and of the others."""
    counts = [
        count for joint, all_ in zip(shares.joint_keys, shares.keys, strict=True) for count in (joint, all_ - joint)
    ]
    joint = torch.tensor([True, False]).repeat(len(shares.keys)).repeat_interleave(torch.tensor(counts))
    return joint.nonzero().squeeze(1).to(device), (~joint).nonzero().squeeze(1).to(device)
