"""Random draws of locations and of negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._random import drawing_from

__all__ = ["draw_examples", "draw_locations", "draw_rows"]


def draw_locations(
    rows: Tensor, present: Tensor | None, locations: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """Draw locations of every example without replacement, masked locations only after all real ones.

    Args:
        rows: (N, P, c).
        present: bool, (N, P), True at a real location; all are real when None.
        locations: number of locations to draw, at most P.
        generator: the generator of the draws; torch's global one when None.

    Returns:
        Rows (N, locations, c), and which of them are real, bool (N, locations), or None if all are.
    """
    n, p, channels = rows.shape
    order = torch.rand(n, p, device=rows.device, **drawing_from(generator))
    if present is not None:  # 2 is above all draws, so masked locations come last
        order = order.masked_fill(~present, 2.0)
    drawn = order.topk(locations, dim=1, largest=False).indices
    rows = rows.gather(1, drawn[:, :, None].expand(n, locations, channels))
    return rows, None if present is None else present.gather(1, drawn)


def draw_rows(example: Tensor, locations: int, generator: torch.Generator | None) -> Tensor:
    """Draw rows of every example without replacement, where examples may have different numbers of rows.

    Args:
        example: (K,), the example of each row, in ascending order.
        locations: largest number of rows to draw per example.
        generator: the generator of the draws; torch's global one when None.

    Returns:
        Indices of the drawn rows, example by example.
    """
    draw = torch.rand(len(example), dtype=torch.float64, device=example.device, **drawing_from(generator))
    order = (example + draw).argsort()  # the rows of each example in random order
    first = torch.searchsorted(example, example)
    place = torch.arange(len(example), device=example.device) - first
    return order[place < locations]


def draw_examples(
    examples: int, count: int, device: torch.device, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw exactly ``count`` other examples as the negatives of every example.

    ``count + 1`` examples of the batch are drawn. A drawn example is scored against the other drawn examples, and any
    other example leaves out one drawn example at random. So all globals share the same rows, and one matrix product
    still computes all scores.

    Args:
        examples: number N of examples.
        count: number of negatives per example.
        device: device of the result.
        generator: the generator of the draws; torch's global one when None.

    Returns:
        For each example, the drawn example that it leaves out, (N,); and which examples are drawn, bool (N,).

    Raises:
        ValueError: there are fewer than ``count`` other examples.
    """
    if examples < 2:
        raise ValueError(f"sample_negatives needs at least 2 examples with a location to draw from, got {examples}")
    if not 1 <= count < examples:
        raise ValueError(
            f"sample_negatives must be between 1 and {examples - 1}, the other examples with a location, got {count}"
        )
    drawn = torch.randperm(examples, device=device, **drawing_from(generator))[: count + 1]
    left_out = drawn[torch.randint(count + 1, (examples,), device=device, **drawing_from(generator))]
    left_out[drawn] = drawn
    return left_out, torch.zeros(examples, dtype=torch.bool, device=device).index_fill_(0, drawn, True)
