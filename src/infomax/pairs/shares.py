"""How a batch is spread over processes, and which pairs its rows form there."""

from __future__ import annotations

from typing import NamedTuple

import torch

from infomax.pairs.pairing import Pairing
from infomax.pairs.processes import Processes

__all__ = ["Shares", "exchange_shares", "gather_pairing"]


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


def exchange_shares(
    pairing: Pairing | None, error: Exception | None, processes: Processes, device: torch.device
) -> Shares:
    """Tell the other processes how many rows this one has, or that it has failed; one collective.

    All of them raise where one has failed, so that none is left waiting.

    Args:
        pairing: of the rows of this process; None after an error.
        error: what this process failed with.
        processes: which share their rows.
        device: where the process group exchanges tensors.

    Raises:
        RuntimeError: another process raised an error.
        ValueError: the processes disagree on the globals per example, or hold fewer than two examples together.
    """
    ours = [-1, 0, 0, 0, 0, 0]
    if pairing is not None:
        locations = pairing.locations if pairing.uniform else None
        beside = pairing.groups > pairing.examples  # given negatives have a group of their own
        ours = [pairing.examples, pairing.globals_, pairing.joint_keys, len(pairing.key_group), locations or 0, beside]
    everybody = processes.numbers(ours, device)
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
    return Shares(examples, joint_keys, keys, q, (found.pop() or None) if len(found) == 1 else None)


def gather_pairing(pairing: Pairing, shares: Shares, processes: Processes) -> tuple[Pairing, Pairing]:
    """Extend the marginal rows of a pairing to the local rows of all processes.

    Args:
        pairing: of the rows of this process.
        shares: what :func:`exchange_shares` returned.
        processes: which share their rows.

    Returns:
        The pairing of our globals with all rows, and that of all globals with all rows.
    """
    rank, q = processes.rank, shares.globals_
    offset, total = sum(shares.examples[:rank]), sum(shares.examples)
    if shares.locations is not None:
        example = torch.arange(total, device=pairing.key_group.device).repeat_interleave(shares.locations)
        whole = Pairing(total, q, example, locations=shares.locations)
        group, marginal = example, None
    else:
        # Given negatives have the group after the last example's. With in_batch=False they alone are marginal.
        group = processes.gather_rows(
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
