"""From feature maps to rows: which local belongs to which global.

Public tensors keep their spatial axes: local features ``(N, c, *spatial)``, globals ``(N, d)`` or
``(N, d, *spatial)``. Scores are about *pairs of rows*. This file turns one into the other, and remembers in a
:class:`Pairing` which rows belong to the same example (a joint pair) and which do not (a marginal pair).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infomax._checks import check_floating, check_same_device, shape_of

__all__ = [
    "Pairing",
    "Rows",
    "check_features",
    "check_mask",
    "check_mask_dtype",
    "check_mask_shape",
    "pair_rows",
    "rows_of",
]


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

    def draw_negatives(self, examples: int, generator: torch.Generator | None = None) -> Pairing:
        """Give every global the locals of exactly ``examples`` other examples as marginals.

        ``examples + 1`` of the batch are drawn. One that is drawn is scored against the others drawn; one that is
        not leaves out a drawn one at random. All globals still share the same rows, so it stays one product.
        """
        device = self.key_group.device
        shuffled = torch.randperm(self.examples, generator=generator, device=device)
        if self.locations is None:  # an example whose locations are all masked is no negative
            shuffled = shuffled[torch.bincount(self.key_group, minlength=self.examples)[shuffled] > 0]
        if not 1 <= examples < shuffled.shape[0]:
            raise ValueError(
                f"negatives must be between 1 and {shuffled.shape[0] - 1}, the other examples with a location, got "
                f"{examples}"
            )
        drawn = shuffled[: examples + 1]
        left_out = drawn[torch.randint(examples + 1, (self.examples,), generator=generator, device=device)]
        left_out[drawn] = drawn
        in_pool = torch.zeros(self.examples, dtype=torch.bool, device=device).index_fill_(0, drawn, True)
        return Pairing(
            self.examples,
            self.globals_,
            self.key_group,
            locations=self.locations,
            query_group=left_out.repeat_interleave(self.globals_),
            marginal_rows=in_pool[self.key_group].nonzero().squeeze(1),
        )


class Rows(NamedTuple):
    """Local and global features as rows, and which belong together."""

    local: Tensor
    """(K, c): a view of a channels-last map, one copy of a channels-first one."""
    global_: Tensor
    """(M, d)."""
    pairing: Pairing


def check_features(local: Tensor, global_: Tensor, mask: Tensor | None = None) -> None:
    """Raise unless local (N, c, \\*spatial), global (N, d, \\*spatial) and mask fit together."""
    check_floating("local", local)
    check_floating("global_", global_)
    if mask is not None:
        check_mask_dtype(mask)
    check_same_device(local=local, global_=global_, mask=mask)
    for name, tensor in (("local", local), ("global_", global_)):
        if tensor.ndim < 2:
            raise ValueError(f"{name} must have shape (N, channels, *spatial), got {shape_of(tensor)}")
    if local.shape[0] != global_.shape[0]:
        raise ValueError(
            "local and global_ must hold the same examples, got batch sizes "
            f"{local.shape[0]} from {shape_of(local)} and {global_.shape[0]} from {shape_of(global_)}"
        )
    if local.shape[0] < 2:
        raise ValueError(
            f"local must hold at least 2 examples, got {local.shape[0]}: an InfoMax objective needs other examples "
            "as negatives"
        )
    for name, tensor in (("local", local), ("global_", global_)):
        if 0 in tensor.shape[1:]:
            raise ValueError(f"{name} must have at least one channel and one location, got {shape_of(tensor)}")
    if mask is not None:
        check_mask("local " + shape_of(local), mask, (local.shape[0], *local.shape[2:]))


def check_mask_dtype(mask: object) -> None:
    """Raise unless ``mask`` is a bool tensor."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a bool tensor, True at real locations, got {kind}")


def check_mask_shape(name: str, mask: Tensor, expected: tuple[int, ...]) -> None:
    """Raise unless ``mask`` has the expected shape."""
    if tuple(mask.shape) != expected:
        raise ValueError(f"mask must have the shape {expected} to fit {name}, got {shape_of(mask)}")


def check_mask(name: str, mask: Tensor, expected: tuple[int, ...]) -> None:
    """Raise unless ``mask`` has the expected shape and leaves two examples with a location."""
    check_mask_shape(name, mask, expected)
    present = int(mask.reshape(mask.shape[0], -1).any(1).sum())
    if present < 2:
        raise ValueError(
            f"mask must leave real locations in at least 2 examples, got {present} of {mask.shape[0]}: an InfoMax "
            "objective needs other examples as negatives"
        )


def rows_of(features: Tensor) -> Tensor:
    """(N, c, \\*spatial) as (N, P, c): a view, whatever the memory format."""
    return features.unsqueeze(1) if features.ndim == 2 else features.flatten(2).transpose(1, 2)


def pair_rows(
    local: Tensor,
    global_: Tensor,
    mask: Tensor | None = None,
    *,
    locations: int | None = None,
    negatives: int | None = None,
    generator: torch.Generator | None = None,
) -> Rows:
    """Check the features, leave out what is masked or not sampled, and pair what is left.

    Args:
        local: local features, shape (N, c, \\*spatial).
        global_: global features, shape (N, d) or (N, d, \\*spatial).
        mask: bool, shape (N, \\*spatial), True at a real location.
        locations: draw this many of each example's (real) locations, without replacement; all of them when None.
        negatives: score each global against the locations of this many other examples; all of them when None.
        generator: where the draws come from; torch's global one when None.

    Raises:
        TypeError: a dtype is not floating, the mask is not bool.
        ValueError: shapes, batch sizes or devices do not fit, or fewer than two examples are there.
    """
    check_features(local, global_, mask)
    rows = rows_of(local)
    n, p = rows.shape[:2]
    globals_ = rows_of(global_)
    present = None if mask is None else mask.reshape(n, p)
    if locations is not None and locations < p:
        rows, present = _draw_locations(rows, present, locations, generator)
        p = locations
    if present is None:
        key_group = torch.arange(n, device=local.device).repeat_interleave(p)
        pairing = Pairing(n, globals_.shape[1], key_group, locations=p)
        rows = rows.reshape(n * p, -1)
    else:
        key_group = present.nonzero()[:, 0]
        rows = rows[present]
        pairing = Pairing(n, globals_.shape[1], key_group)
    if negatives is not None and (negatives != n - 1 or present is not None):
        pairing = pairing.draw_negatives(negatives, generator)
    return Rows(rows, globals_.reshape(-1, globals_.shape[2]), pairing)


def _draw_locations(
    rows: Tensor, present: Tensor | None, locations: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    n, p, channels = rows.shape
    order = torch.rand(n, p, device=rows.device, generator=generator)
    if present is not None:  # the missing go last
        order = order.masked_fill(~present, 2.0)
    drawn = order.topk(locations, dim=1, largest=False).indices
    rows = rows.gather(1, drawn[:, :, None].expand(n, locations, channels))
    return rows, None if present is None else present.gather(1, drawn)
