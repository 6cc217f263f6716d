"""Random draws of locations and of negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax._random import drawing_from

__all__ = ["draw_examples", "draw_locations", "draw_rows"]


def draw_locations(
    rows: Tensor, present: Tensor | None, locations: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """Draw locations of every example without replacement, the real ones first.

    Args:
        rows: (N, P, c).
        present: bool, (N, P), True at a real location; all are real when None.
        locations: how many, at most P.
        generator: where the draws come from.

    Returns:
        Rows (N, locations, c), and which of them are real, (N, locations), or None where all are.
    """
    n, p, channels = rows.shape
    order = torch.rand(n, p, device=rows.device, **drawing_from(generator))
    if present is not None:  # the missing go last
        order = order.masked_fill(~present, 2.0)
    drawn = order.topk(locations, dim=1, largest=False).indices
    rows = rows.gather(1, drawn[:, :, None].expand(n, locations, channels))
    return rows, None if present is None else present.gather(1, drawn)


def draw_rows(example: Tensor, locations: int, generator: torch.Generator | None) -> Tensor:
    """Draw rows of every example without replacement, where examples have unequal numbers of them.

    Args:
        example: (K,), of each row, in order.
        locations: how many at most.
        generator: where the draws come from.

    Returns:
        Indices of the rows drawn, example by example.
    """
    draw = torch.rand(len(example), dtype=torch.float64, device=example.device, **drawing_from(generator))
    order = (example + draw).argsort()  # the rows of each example in random order
    first = torch.searchsorted(example, example)
    place = torch.arange(len(example), device=example.device) - first
    return order[place < locations]


def draw_examples(
    examples: int, count: int, device: torch.device, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Give every example exactly ``count`` other examples as negatives.

    ``count + 1`` of the batch are drawn. An example that is drawn is scored against the others drawn; one that is not
    leaves out a drawn one at random. All globals still share the same rows, so it stays one product.

    Args:
        examples: N.
        count: how many others.
        device: of the result.
        generator: where the draws come from.

    Returns:
        For each example the drawn one that it leaves out, (N,), and which examples are drawn, bool (N,).

    Raises:
        ValueError: there are not as many others.
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
