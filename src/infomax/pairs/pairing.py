"""Which rows form joint pairs, and which are marginal ones."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Pairing"]


class Pairing:
    """Which globals and which locals form joint pairs, and which locals are a global's marginal ones.

    Row ``n * Q + q`` of the globals is global ``q`` of example ``n``. Local rows are example-major too; with a
    mask some are missing. Joint pairs are listed local by local ("key-major"): the ``Q`` globals of the first
    local row, then those of the second, and so on.

    Args:
        examples: N.
        globals_: Q, globals an example.
        key_group: example of each local row, shape (K,).
        locations: P if every example has all its locations, else None.
        first: row of the first local of ours, where ``key_group`` also holds rows of other processes.
        joint_keys: how many rows from ``first`` on are ours; all of them by default.
        group_offset: example id of our first example.
        query_group: example whose locals a global must *not* meet; its own unless negatives were drawn.
        marginal_rows: local rows that serve as marginals; all by default.
        total_examples: examples of all processes; ``examples`` by default.
    """

    def __init__(
        self,
        examples: int,
        globals_: int,
        key_group: Tensor,
        *,
        locations: int | None = None,
        first: int = 0,
        joint_keys: int | None = None,
        group_offset: int = 0,
        query_group: Tensor | None = None,
        marginal_rows: Tensor | None = None,
        total_examples: int | None = None,
    ) -> None:
        self.examples = examples
        self.globals_ = globals_
        self.key_group = key_group
        self.locations = locations
        self.first = first
        self.joint_keys = key_group.shape[0] if joint_keys is None else joint_keys
        self.group_offset = group_offset
        if query_group is None:
            own = torch.arange(examples, device=key_group.device) + group_offset
            query_group = own if globals_ == 1 else own.repeat_interleave(globals_)
        self.query_group = query_group
        self.marginal_rows = marginal_rows
        self.total_examples = examples if total_examples is None else total_examples

    @property
    def joint_group(self) -> Tensor:
        """Example of each local row that forms joint pairs, counted from our first example."""
        return self.key_group[self.first : self.first + self.joint_keys] - self.group_offset

    @property
    def joint_key(self) -> Tensor:
        """Local row of each joint pair, shape (J,)."""
        rows = torch.arange(self.first, self.first + self.joint_keys, device=self.key_group.device)
        return rows if self.globals_ == 1 else rows.repeat_interleave(self.globals_)

    @property
    def joint_query(self) -> Tensor:
        """Global row of each joint pair, shape (J,)."""
        group = self.joint_group
        if self.globals_ == 1:
            return group
        offsets = torch.arange(self.globals_, device=group.device)
        return (group[:, None] * self.globals_ + offsets).flatten()

    def per_joint(self, values: Tensor) -> Tensor:
        """Repeat one value a global, shape (M,), for each of that global's joint pairs, shape (J,)."""
        if self.locations is not None:  # a broadcast, whose backward is a plain sum
            table = values.view(self.examples, 1, self.globals_)
            return table.expand(self.examples, self.locations, self.globals_).reshape(-1)
        return values.view(self.examples, self.globals_)[self.joint_group].reshape(-1)

    def mean_per_global(self, values: Tensor) -> Tensor:
        """Average one value per joint pair, shape (J,), over the joint pairs of each global, shape (M,)."""
        if self.locations is not None:
            return values.view(self.examples, self.locations, self.globals_).mean(1).reshape(-1)
        total = values.new_zeros(self.examples * self.globals_).index_add(0, self.joint_query, values)
        count = torch.bincount(self.joint_query, minlength=len(total))
        return total / count

    def marginal_group(self) -> Tensor:
        """Example of each local row that serves as a marginal."""
        return self.key_group if self.marginal_rows is None else self.key_group[self.marginal_rows]

    def marginal_count(self) -> Tensor:
        """Number of marginal locals of each global, shape (M,), float32."""
        group = self.marginal_group()
        if self.marginal_rows is None and self.locations is not None and self.total_examples == self.examples:
            count = group.shape[0] - self.locations
            return torch.full_like(self.query_group, count, dtype=torch.float32)
        own = torch.bincount(group, minlength=self.total_examples)[self.query_group]
        return (group.shape[0] - own).float()
