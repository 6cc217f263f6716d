"""Which rows form joint pairs, and which form marginal pairs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Pairing"]


class Pairing:
    """The joint pairs of global and local rows, and the marginal pairs of each global.

    Row ``n * Q + q`` of the globals is global ``q`` of example ``n``. Local rows are ordered by example; examples may
    have different numbers of them. Joint pairs are listed local by local ("key-major"): the ``Q`` globals of the first
    local row, then those of the second, and so on.

    There may be more local rows, which form no joint pair: given negatives, and rows of other processes. A global forms
    marginal pairs with all marginal rows whose group differs from the global's ``query_group``.

    Args:
        examples: number N of examples.
        globals_: number Q of globals per example.
        key_example: example of each local row that forms joint pairs, shape (J / Q,), in ascending order.
        locations: P if every example has all its P locations, else None.
        first: index of the first local row that forms joint pairs.
        key_group: group of each local row, shape (K,), integers from 0; the example of the row when None.
        query_group: group that is *excluded* from the marginal pairs of each global, shape (N * Q,); the global's own
            example when None.
        marginal_rows: indices of the local rows that serve as marginals; all when None.
        groups: upper bound of the number of groups; ``examples`` when None.
        names: the user's integers for the first groups, by which processes identify groups; None where a group is an
            example.

    Example:
        >>> import torch
        >>> from infomax.pairs import Pairing
        >>> pairing = Pairing(2, 1, torch.tensor([0, 0, 1]))  # two examples, with two locations and with one
        >>> pairing.joint_query, pairing.joint_key, pairing.marginal_count()
        (tensor([0, 0, 1]), tensor([0, 1, 2]), tensor([1., 2.]))
    """

    def __init__(
        self,
        examples: int,
        globals_: int,
        key_example: Tensor,
        *,
        locations: int | None = None,
        first: int = 0,
        key_group: Tensor | None = None,
        query_group: Tensor | None = None,
        marginal_rows: Tensor | None = None,
        groups: int | None = None,
        names: Tensor | None = None,
    ) -> None:
        self.examples = examples
        self.globals_ = globals_
        self.key_example = key_example
        self.locations = locations
        self.first = first
        self.key_group = key_example if key_group is None else key_group
        if query_group is None:
            own = torch.arange(examples, device=key_example.device)
            query_group = own if globals_ == 1 else own.repeat_interleave(globals_)
        self.query_group = query_group
        self.marginal_rows = marginal_rows
        self.groups = examples if groups is None else groups
        self.names = names

    @property
    def joint_keys(self) -> int:
        """Number of local rows that form joint pairs."""
        return self.key_example.shape[0]

    @property
    def joint_key(self) -> Tensor:
        """Index of the local row of each joint pair, shape (J,)."""
        rows = torch.arange(self.first, self.first + self.joint_keys, device=self.key_example.device)
        return rows if self.globals_ == 1 else rows.repeat_interleave(self.globals_)

    @property
    def joint_query(self) -> Tensor:
        """Index of the global row of each joint pair, shape (J,)."""
        if self.globals_ == 1:
            return self.key_example
        offsets = torch.arange(self.globals_, device=self.key_example.device)
        return (self.key_example[:, None] * self.globals_ + offsets).flatten()

    @property
    def uniform(self) -> bool:
        """Whether every example has all its locations, all local rows are marginal, and there are no other rows."""
        return self.locations is not None and self.key_group is self.key_example and self.marginal_rows is None

    def per_joint(self, values: Tensor) -> Tensor:
        """Repeat the value of each global, shape (M,), for each of its joint pairs, shape (J,)."""
        if self.locations is not None:  # a broadcast, whose backward is a plain sum
            table = values.view(self.examples, 1, self.globals_)
            return table.expand(self.examples, self.locations, self.globals_).reshape(-1)
        return values.view(self.examples, self.globals_)[self.key_example].reshape(-1)

    def mean_per_global(self, values: Tensor) -> Tensor:
        """Average one value per joint pair, shape (J,), over the joint pairs of each global, shape (M,)."""
        if self.locations is not None:
            return values.view(self.examples, self.locations, self.globals_).mean(1).reshape(-1)
        total = values.new_zeros(self.examples * self.globals_).index_add(0, self.joint_query, values)
        return total / self.joint_count()

    def joint_count(self) -> Tensor:
        """Return the number of joint pairs of each global, shape (M,)."""
        return _counts(self.joint_query, self.examples * self.globals_)

    def marginal_group(self) -> Tensor:
        """Return the group of each local row that serves as a marginal."""
        return self.key_group if self.marginal_rows is None else self.key_group[self.marginal_rows]

    def marginal_count(self) -> Tensor:
        """Return the number of marginal pairs of each global, shape (M,), float32."""
        group = self.marginal_group()
        if self.locations is not None and self.uniform:
            count = group.shape[0] - self.locations
            return torch.full_like(self.query_group, count, dtype=torch.float32)
        own = _counts(group, self.groups)[self.query_group]
        return (group.shape[0] - own).float()


def _counts(index: Tensor, size: int) -> Tensor:
    """Count how often each of 0, ..., size - 1 occurs; `torch.bincount` returns a size unknown to the compiler."""
    return torch.zeros(size, dtype=torch.int64, device=index.device).index_add(0, index, torch.ones_like(index))
