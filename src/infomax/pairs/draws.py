"""Random draws of locations and of negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax.pairs.pairing import Pairing

__all__ = ["draw_locations", "draw_negatives"]


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
    order = torch.rand(n, p, device=rows.device, generator=generator)
    if present is not None:  # the missing go last
        order = order.masked_fill(~present, 2.0)
    drawn = order.topk(locations, dim=1, largest=False).indices
    rows = rows.gather(1, drawn[:, :, None].expand(n, locations, channels))
    return rows, None if present is None else present.gather(1, drawn)


def draw_negatives(pairing: Pairing, examples: int, generator: torch.Generator | None = None) -> Pairing:
    """Give every global the locals of exactly ``examples`` other examples as marginals.

    ``examples + 1`` of the batch are drawn. One that is drawn is scored against the others drawn; one that is not
    leaves out a drawn one at random. All globals still share the same rows, so it stays one product.

    Args:
        pairing: of a batch whose examples all have a location.
        examples: how many others.
        generator: where the draws come from.

    Raises:
        ValueError: there are not as many others.
    """
    if not 1 <= examples < pairing.examples:
        raise ValueError(
            f"sample_negatives must be between 1 and {pairing.examples - 1}, the other examples with a location, got "
            f"{examples}"
        )
    device = pairing.key_group.device
    drawn = torch.randperm(pairing.examples, generator=generator, device=device)[: examples + 1]
    left_out = drawn[torch.randint(examples + 1, (pairing.examples,), generator=generator, device=device)]
    left_out[drawn] = drawn
    in_pool = torch.zeros(pairing.examples, dtype=torch.bool, device=device).index_fill_(0, drawn, True)
    return Pairing(
        pairing.examples,
        pairing.globals_,
        pairing.key_group,
        locations=pairing.locations,
        query_group=left_out.repeat_interleave(pairing.globals_),
        marginal_rows=in_pool[pairing.key_group].nonzero().squeeze(1),
    )
